#include "domain/attribution_timeline.h"
