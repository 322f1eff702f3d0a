#pragma once

// Why a peer's data was refused. The snake_case names are stable: metric label, log field, dead-letter class and the
// expectation in tests. A refusal travels as an absl::Status with its Reject as payload (base/status.h).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock {

// clang-format off
// X(enumerator, name). Grouped by the folder that finds the fault; append inside a group, never rename.
#define PENSTOCK_REJECTS(X)                                                                          \
  /* crypto/: keys and signatures (protocol 4.2, 6.2) */                                              \
  X(kKeyMalformed, "key_malformed")                   /* no multibase, wrong length, not on the curve */ \
  X(kKeyUnsupported, "key_unsupported")               /* a good key of a curve that atproto does not use */ \
  X(kSignatureLength, "signature_length")             /* not exactly 64 bytes */                     \
  X(kSignatureHighS, "signature_high_s")                                                             \
  X(kSignatureMismatch, "signature_mismatch")         /* not made by this key over these bytes; also r or s out of range */ \
  /* cbor/: DRISL (dasl.ing/drisl) */                                                                \
  X(kCborTruncated, "cbor_truncated")                 /* an item or a declared length runs past the end */ \
  X(kCborTrailingBytes, "cbor_trailing_bytes")        /* something follows the one item */           \
  X(kCborNonMinimal, "cbor_non_minimal")              /* a head argument not in its shortest form */ \
  X(kCborReservedHead, "cbor_reserved_head")          /* additional information 28-30 */             \
  X(kCborIndefinite, "cbor_indefinite")               /* indefinite length, or a stray break */      \
  X(kCborBadUtf8, "cbor_bad_utf8")                                                                   \
  X(kCborMapKeyNotText, "cbor_map_key_not_text")                                                     \
  X(kCborMapKeyOrder, "cbor_map_key_order")           /* keys not ascending by (length, bytes) */    \
  X(kCborMapKeyDuplicate, "cbor_map_key_duplicate")                                                  \
  X(kCborMapKeyTooLong, "cbor_map_key_too_long")                                                     \
  X(kCborUnsupportedTag, "cbor_unsupported_tag")      /* any tag but 42 */                           \
  X(kCborBadLink, "cbor_bad_link")                    /* tag 42 without 00 || CID */                 \
  X(kCborUnsupportedSimple, "cbor_unsupported_simple")/* undefined, or another simple value */       \
  X(kCborUnsupportedFloat, "cbor_unsupported_float")  /* f16, f32, NaN, infinity, -0.0 */            \
  X(kCborTooDeep, "cbor_too_deep")                                                                   \
  X(kCborTooManyElements, "cbor_too_many_elements")                                                  \
  X(kCborUnexpectedType, "cbor_unexpected_type")      /* the caller asked for another kind */        \
  X(kCborIntegerRange, "cbor_integer_range")          /* beyond the integer asked for */             \
  X(kCborUnencodable, "cbor_unencodable")             /* a value that the writer must not write */   \
  /* cbor/: CIDs and JSON */                                                                         \
  X(kCidMalformed, "cid_malformed")                                                                  \
  X(kCidUnsupported, "cid_unsupported")               /* a good CID of a kind that is not allowed here */ \
  X(kJsonMalformed, "json_malformed")                                                                \
  X(kJsonTooDeep, "json_too_deep")                                                                   \
  X(kJsonBadLink, "json_bad_link")                                                                   \
  X(kJsonBadBytes, "json_bad_bytes")                                                                 \
  X(kJsonNumber, "json_number")                       /* a fraction, or beyond 64 bits */            \
  /* cbor/: the atproto data model over a record */                                                  \
  X(kRecordNotAMap, "record_not_a_map")                                                              \
  X(kRecordFloat, "record_float")                                                                    \
  X(kRecordIntegerRange, "record_integer_range")                                                     \
  X(kRecordTooLarge, "record_too_large")                                                             \
  X(kRecordTooDeep, "record_too_deep")                                                               \
  X(kRecordBadType, "record_bad_type")                /* $type absent, not text, or empty */         \
  X(kRecordTypeMismatch, "record_type_mismatch")      /* $type is not the collection */              \
  X(kRecordBadBlob, "record_bad_blob")                                                               \
  X(kRecordUnverifiable, "record_unverifiable")       /* its CID is of a kind that we cannot hash */ \
  /* car/: CAR v1 */                                                                                 \
  X(kCarTruncated, "car_truncated")                                                                  \
  X(kCarBadVarint, "car_bad_varint")                                                                 \
  X(kCarBadHeader, "car_bad_header")                                                                 \
  X(kCarBadVersion, "car_bad_version")                                                               \
  X(kCarNoRoots, "car_no_roots")                                                                     \
  X(kCarZeroLengthSection, "car_zero_length_section")                                                \
  X(kCarSectionTooLong, "car_section_too_long")                                                      \
  X(kCarBadCid, "car_bad_cid")                                                                       \
  X(kCarBlockCidMismatch, "car_block_cid_mismatch")                                                  \
  X(kCarTooManyBlocks, "car_too_many_blocks")                                                        \
  X(kCarTooLarge, "car_too_large")                                                                   \
  X(kCarMissingBlock, "car_missing_block")            /* something named is absent */                \
  /* repo/: syntax */                                                                                \
  X(kSyntaxDid, "syntax_did")                                                                        \
  X(kSyntaxHandle, "syntax_handle")                                                                  \
  X(kSyntaxAtIdentifier, "syntax_at_identifier")                                                     \
  X(kSyntaxNsid, "syntax_nsid")                                                                      \
  X(kSyntaxRecordKey, "syntax_record_key")                                                           \
  X(kSyntaxRepoPath, "syntax_repo_path")                                                             \
  X(kSyntaxTid, "syntax_tid")                                                                        \
  X(kSyntaxAtUri, "syntax_at_uri")                                                                   \
  X(kSyntaxDatetime, "syntax_datetime")                                                              \
  X(kSyntaxLanguage, "syntax_language")                                                              \
  X(kSyntaxUri, "syntax_uri")                                                                        \
  X(kSyntaxCid, "syntax_cid")                                                                        \
  /* repo/: MST */                                                                                   \
  X(kMstBadNode, "mst_bad_node")                      /* not the field set and types of a node */    \
  X(kMstBadPrefix, "mst_bad_prefix")                  /* p too long, not maximal, or first p not 0 */ \
  X(kMstBadKey, "mst_bad_key")                        /* empty or over 1,024 bytes */                \
  X(kMstKeyOrder, "mst_key_order")                    /* keys not ascending, or outside of the parent's range */ \
  X(kMstWrongHeight, "mst_wrong_height")                                                             \
  X(kMstBadLink, "mst_bad_link")                                                                     \
  X(kMstEmptyNode, "mst_empty_node")                  /* no key and no child, below the root */      \
  X(kMstRootWithoutKey, "mst_root_without_key")                                                      \
  X(kMstTooDeep, "mst_too_deep")                                                                     \
  X(kMstPartial, "mst_partial")                       /* the proof stops at a node that is not here */ \
  /* repo/: commit */                                                                                \
  X(kCommitBadObject, "commit_bad_object")                                                           \
  X(kCommitBadVersion, "commit_bad_version")                                                         \
  X(kCommitDidMismatch, "commit_did_mismatch")                                                       \
  X(kCommitRevMismatch, "commit_rev_mismatch")                                                       \
  X(kCommitCidNotRoot, "commit_cid_not_root")                                                        \
  X(kCommitFutureRev, "commit_future_rev")                                                           \
  X(kCommitTooManyOps, "commit_too_many_ops")                                                        \
  X(kCommitBlocksTooLarge, "commit_blocks_too_large")                                                \
  X(kCommitDuplicatePath, "commit_duplicate_path")                                                   \
  X(kCommitBadOp, "commit_bad_op")                    /* cid and prev do not fit the action */       \
  X(kCommitOpNotInTree, "commit_op_not_in_tree")      /* create or update: the tree does not hold path -> cid */ \
  X(kCommitOpStillInTree, "commit_op_still_in_tree")  /* delete: the tree still holds the path */    \
  X(kCommitMissingRecord, "commit_missing_record")    /* create or update without the record's block */ \
  X(kCommitOpWithoutPrev, "commit_op_without_prev")   /* update or delete that does not say what was there before */ \
  X(kCommitPrevDataMissing, "commit_prev_data_missing") /* and it is not the first commit of its repository */ \
  X(kCommitPrevDataMismatch, "commit_prev_data_mismatch") /* undoing the ops does not give prevData */ \
  /* identity/: DID documents and the directory's log (protocol 6.3, 6.4) */                         \
  X(kDidNotFound, "did_not_found")                    /* conclusively: 404, NXDOMAIN */              \
  X(kDidTombstoned, "did_tombstoned")                                                                \
  X(kDidDocumentInvalid, "did_document_invalid")      /* no JSON object, or its `id` is another */   \
  X(kDidNoKey, "did_no_key")                          /* no valid #atproto key in the document */    \
  X(kPlcBadOperation, "plc_bad_operation")                                                           \
  X(kPlcGenesisMismatch, "plc_genesis_mismatch")      /* the DID is not the hash of its first operation */ \
  X(kPlcBadChain, "plc_bad_chain")                    /* `prev`, order or times do not fit */        \
  X(kPlcBadSignature, "plc_bad_signature")                                                           \
  X(kPlcBadNullification, "plc_bad_nullification")                                                   \
  X(kPlcDocumentMismatch, "plc_document_mismatch")    /* the document is not what the log says */    \
  /* sync/: the account's chain (protocol 3.2, 3.4, 3.6) */                                          \
  X(kChainBroken, "chain_broken")                     /* `since` or `prevData` does not continue what we hold */ \
  X(kChainConflict, "chain_conflict")                 /* our rev, but another tree */                \
  X(kAccountInactive, "account_inactive")                                                            \
  X(kAccountWrongHost, "account_wrong_host")          /* a PDS speaks for an account that lives elsewhere */ \
  X(kHeldOverflow, "held_overflow")                   /* more events waited than may */              \
  /* firehose/: framing (the connection is dropped) */                                               \
  X(kFrameBadHeader, "frame_bad_header")                                                             \
  X(kFrameBadPayload, "frame_bad_payload")            /* payload absent or not a map */              \
  X(kFrameTrailingBytes, "frame_trailing_bytes")                                                     \
  X(kFrameTooLarge, "frame_too_large")                                                               \
  X(kFrameText, "frame_text")                         /* a text message */                           \
  /* firehose/: one message (the connection stays) */                                                \
  X(kEventMissingField, "event_missing_field")                                                       \
  X(kEventWrongType, "event_wrong_type")                                                             \
  X(kEventBadSeq, "event_bad_seq")                                                                   \
  X(kEventSeqNotIncreasing, "event_seq_not_increasing")                                              \
  /* lexicon/: the collection's schema (protocol 9) */                                               \
  X(kLexiconUnknown, "lexicon_unknown")               /* no schema for the collection, or behind a reference */ \
  X(kLexiconType, "lexicon_type")                     /* another kind of value than the schema's */  \
  X(kLexiconMissing, "lexicon_missing")               /* a required field is absent */               \
  X(kLexiconRange, "lexicon_range")                   /* an integer below or above its bounds */     \
  X(kLexiconLength, "lexicon_length")                 /* text, bytes or an array too short or too long */ \
  X(kLexiconFormat, "lexicon_format")                 /* a text that is not of its format */         \
  X(kLexiconValue, "lexicon_value")                   /* not the constant, or none of the listed values */ \
  X(kLexiconUnion, "lexicon_union")                   /* no $type, or none that a closed union lists */ \
  X(kLexiconBlob, "lexicon_blob")                     /* no blob, or its type or size is not allowed */ \
  X(kLexiconRecordKey, "lexicon_record_key")          /* not a key of the kind that the schema asks for */ \
  /* indexer/ */                                                                                     \
  X(kStoreRefused, "store_refused")                   /* the database refused this row */            \
  X(kUnsupportedDidMethod, "unsupported_did_method")  /* neither did:plc nor did:web */
// clang-format on

enum class Reject : uint8_t {
#define PENSTOCK_REJECT_ENUMERATOR(enumerator, name) enumerator,
  PENSTOCK_REJECTS(PENSTOCK_REJECT_ENUMERATOR)
#undef PENSTOCK_REJECT_ENUMERATOR
};

inline constexpr size_t kRejectCount = 0
#define PENSTOCK_REJECT_ONE(enumerator, name) +1
    PENSTOCK_REJECTS(PENSTOCK_REJECT_ONE)
#undef PENSTOCK_REJECT_ONE
    ;
static_assert(kRejectCount < 256, "Reject is one byte");

// "car_block_cid_mismatch" for Reject::kCarBlockCidMismatch.
std::string_view RejectName(Reject reject);

// The inverse; nullopt for a name that no Reject has.
std::optional<Reject> RejectFromName(std::string_view name);

}  // namespace penstock
