# penstock_embed(TARGET target NAMESPACE ns FOLDER folder FILES files...): compiles files into `target`, so that the
# program needs none of them when it runs. The generated source defines, in namespace penstock::<ns>,
#
#   extern const EmbeddedFile kEmbeddedFiles[];      // {name relative to FOLDER, contents}, in the order of FILES
#   extern const size_t kEmbeddedFileCount;
#
# which lexicon/embedded.h declares. Made again when a file changes.
set(PENSTOCK_EMBED_SCRIPT "${CMAKE_CURRENT_LIST_DIR}/EmbedFiles.cmake")

function(penstock_embed)
  cmake_parse_arguments(E "" "TARGET;NAMESPACE;FOLDER" "FILES" ${ARGN})
  set(source "${CMAKE_CURRENT_BINARY_DIR}/${E_NAMESPACE}_embedded.cc")
  set(paths "")
  foreach(file ${E_FILES})
    list(APPEND paths "${E_FOLDER}/${file}")
  endforeach()
  add_custom_command(OUTPUT "${source}"
    COMMAND "${CMAKE_COMMAND}" "-DOUT=${source}" "-DNAMESPACE=${E_NAMESPACE}" "-DFOLDER=${E_FOLDER}" "-DFILES=${E_FILES}"
            -P "${PENSTOCK_EMBED_SCRIPT}"
    DEPENDS ${paths} "${PENSTOCK_EMBED_SCRIPT}" VERBATIM)
  target_sources(${E_TARGET} PRIVATE "${source}")
endfunction()
