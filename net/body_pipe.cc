#include "net/body_pipe.h"
