/* file_packs.h - packs as files: written aside, synced, linked under their name.
 *
 * Private to the file backend; the operations of backend.h. Format and crash cases: DESIGN.md. */
#pragma once
#include "sidecar/store/file_root.h"

extern const struct pack_ops file_pack_ops;
