# Writes OUTPUT, a header with the version and the commit, when they changed. Run at every build by
# src/observability/CMakeLists.txt with -DSOURCE_DIR, -DOUTPUT and -DVERSION. Where there is no
# repository (an image's build context) the environment's GPU_TELEMETRY_REVISION names the commit.
set(revision "$ENV{GPU_TELEMETRY_REVISION}")
if(NOT revision)
  execute_process(COMMAND git -C ${SOURCE_DIR} describe --always --dirty --exclude=* --abbrev=12
    OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT revision MATCHES "^[0-9A-Za-z._-]+$")
  set(revision unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT
"#pragma once
#define GPU_TELEMETRY_VERSION \"${VERSION}\"
#define GPU_TELEMETRY_REVISION \"${revision}\"
")
