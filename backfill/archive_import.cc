#include "backfill/archive_import.h"
