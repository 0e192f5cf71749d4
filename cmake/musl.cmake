# musl_link(<program> <room targets>) - compiles the sources of the rooms, and of those they use,
# once more against musl and links them statically. MUSL_SPECS is empty where that can't be done:
# gcc's specs file of Debian's musl-dev, in release builds without sanitizers, which need glibc.
set(MUSL_SPECS "")
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT SANITIZE)
  string(REGEX REPLACE "-gnu.*" "-musl" musl_library "${CMAKE_LIBRARY_ARCHITECTURE}")
  set(musl_specs /usr/lib/${musl_library}/musl-gcc.specs)
  if(EXISTS ${musl_specs})
    set(MUSL_SPECS ${musl_specs})
  endif()
endif()

# Appends to <out> every room target below, each once.
function(rooms_below out)
  set(found ${${out}})
  foreach(target ${ARGN})
    if(NOT target IN_LIST found)
      list(APPEND found ${target})
      get_target_property(uses ${target} LINK_LIBRARIES)
      if(uses)
        rooms_below(found ${uses})
      endif()
    endif()
  endforeach()
  set(${out} ${found} PARENT_SCOPE)
endfunction()

function(musl_link program)
  set(rooms "")
  rooms_below(rooms ${ARGN})
  foreach(room ${rooms})
    get_target_property(sources ${room} SOURCES)
    target_sources(${program} PRIVATE ${sources})
  endforeach()
  target_include_directories(${program} PRIVATE ${CMAKE_SOURCE_DIR})
  # The kernel's headers come with glibc's; behind all others they give only what musl has not. The same
  # sources are judged by all warnings against glibc.
  target_compile_options(${program} PRIVATE -specs=${MUSL_SPECS} -Wno-maybe-uninitialized
                         "SHELL:-idirafter /usr/include"
                         "SHELL:-idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}")
  target_link_options(${program} PRIVATE -specs=${MUSL_SPECS} -static)
endfunction()
