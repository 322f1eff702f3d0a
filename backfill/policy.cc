#include "backfill/policy.h"
