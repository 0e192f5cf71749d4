// rooms: sidecar/crypto
/* A key file of any content: a key, or CORRUPT; the file stays as it is. */
#include "sidecar/crypto/keyring.h"

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[] = "/tmp/key-file-fuzz-XXXXXX";
    CLEANUP(keyring_closep) struct keyring *ring = NULL;
    CLEANUP(buf_fini) struct buf after = { 0 };
    struct err err = { 0 };
    CLEANUP(fd_closep) struct fd file = { mkostemp(path, O_CLOEXEC) };
    assert(fd_is_open(file) && fd_write_all(file.raw, data, size, &err));
    if (keyring_open(path, true, &ring, &err))
        assert(strlen(keyring_borrow_id(ring)) == KEYRING_ID_TEXT - 1);
    else
        assert(err.kind == ERR_CORRUPT);
    assert(file_read(AT_FDCWD, path, size, &after, &err));
    assert(view_is_equal(buf_view(&after), view_of(data, size)));
    assert(unlink(path) == 0);
    return 0;
}
