# Libraries from outside; each belongs to the rooms that name it (docs/dependencies.md).
#
# A program marked STATIC in room.cmake has the property LINK_STATIC and gets the archives instead of
# the shared libraries; everything else stays dynamic.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
foreach(pair "sodium;libsodium" "jansson;jansson" "uv;libuv" "zstd;libzstd"
             "protobufc;libprotobuf-c")
  list(GET pair 0 name)
  list(GET pair 1 module)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${module})
endforeach()
if(BUILD_TESTING OR NOT DEFINED BUILD_TESTING)
  pkg_check_modules(criterion REQUIRED IMPORTED_TARGET criterion)
endif()
find_library(MSGPACKC msgpackc REQUIRED)
find_library(HTTP_PARSER http_parser REQUIRED)
add_library(msgpackc INTERFACE)
target_link_libraries(msgpackc INTERFACE ${MSGPACKC})
add_library(http_parser INTERFACE)
target_link_libraries(http_parser INTERFACE ${HTTP_PARSER})

# pick(<target> <shared> <archives>) - what <target> stands for in dynamic and in static programs.
function(pick target shared archives)
  set_property(TARGET ${target} PROPERTY INTERFACE_LINK_LIBRARIES
    "$<IF:$<BOOL:$<TARGET_PROPERTY:LINK_STATIC>>,${archives},${shared}>")
endfunction()

find_library(UV_ARCHIVE libuv_a.a REQUIRED)
find_library(PROTOBUFC_ARCHIVE libprotobuf-c.a REQUIRED)
find_library(MSGPACKC_ARCHIVE libmsgpackc.a REQUIRED)
find_library(SODIUM_ARCHIVE libsodium.a REQUIRED)
pick(PkgConfig::uv "${uv_LINK_LIBRARIES}" "${UV_ARCHIVE};dl;rt;Threads::Threads")
pick(PkgConfig::protobufc "${protobufc_LINK_LIBRARIES}" "${PROTOBUFC_ARCHIVE}")
pick(PkgConfig::sodium "${sodium_LINK_LIBRARIES}" "${SODIUM_ARCHIVE}")
pick(msgpackc "${MSGPACKC}" "${MSGPACKC_ARCHIVE}")

# gRPC's archives need each other in circles, and C++ below them.
pkg_check_modules(grpcu REQUIRED grpc_unsecure)
set(grpc_archives "")
foreach(stem grpc_unsecure gpr address_sorting upb cares re2 z)
  find_library(ARCHIVE_${stem} lib${stem}.a REQUIRED)
  list(APPEND grpc_archives ${ARCHIVE_${stem}})
endforeach()
get_filename_component(archive_dir ${ARCHIVE_gpr} DIRECTORY)
file(GLOB absl_archives ${archive_dir}/libabsl_*.a)
list(JOIN absl_archives "," absl_archives)
list(JOIN grpc_archives "," grpc_archives)
add_library(grpc_unsecure INTERFACE)
pick(grpc_unsecure "${grpcu_LINK_LIBRARIES};Threads::Threads"
     "$<LINK_GROUP:RESCAN,${grpc_archives},${absl_archives}>;stdc++;m;Threads::Threads")
