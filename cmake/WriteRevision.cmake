# Writes OUTPUT, a header with the version and the commit, when they changed. Run at every build by
# src/observability/CMakeLists.txt with -DSOURCE_DIR, -DOUTPUT and -DVERSION. The version is that of
# the newest tag vX.Y.Z, with the number of commits since as build metadata (X.Y.Z+N); VERSION before
# there is any. Where there is no repository (an image's build context) the environment's
# GPU_TELEMETRY_VERSION and GPU_TELEMETRY_REVISION say both.
function(ask_git output)
  execute_process(COMMAND git -C ${SOURCE_DIR} describe ${ARGN}
    OUTPUT_VARIABLE answer OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(${output} "${answer}" PARENT_SCOPE)
endfunction()

set(version "$ENV{GPU_TELEMETRY_VERSION}")
if(NOT version)
  ask_git(described --tags --match "v[0-9]*" --long)
  if(described MATCHES "^v([0-9]+\\.[0-9]+\\.[0-9]+[-.0-9A-Za-z]*)-([0-9]+)-g[0-9a-f]+$")
    set(version "${CMAKE_MATCH_1}")
    if(NOT CMAKE_MATCH_2 EQUAL 0)
      string(APPEND version "+${CMAKE_MATCH_2}")
    endif()
  endif()
endif()
if(NOT version MATCHES "^[0-9A-Za-z.+-]+$")
  set(version "${VERSION}")
endif()

set(revision "$ENV{GPU_TELEMETRY_REVISION}")
if(NOT revision)
  ask_git(revision --always --dirty --exclude=* --abbrev=12)
endif()
if(NOT revision MATCHES "^[0-9A-Za-z._-]+$")
  set(revision unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT
"#pragma once
#define GPU_TELEMETRY_VERSION \"${version}\"
#define GPU_TELEMETRY_REVISION \"${revision}\"
")
