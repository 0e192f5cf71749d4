/* file.h - the backend "file": a directory on a local disk.
 *
 * Private to this room: `store_file_ops` of backend.h is all it offers. Made of file_root (where),
 * file_register (the record) and file_packs. Layout and failure table: DESIGN.md. */
#pragma once
#include "sidecar/store/backend.h"
