#include "domain/metric_catalogue.h"
