#include "backfill/finder.h"
