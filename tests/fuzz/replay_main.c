/* replay_main.c - runs a fuzz target on every file of its corpus, and on each of them cut at many
 * places and with single bytes changed, so that every preset sees what the fuzzer would. */
#include "common/base/file.h"
#include "common/base/own.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#define INPUT_MAX ((size_t)1 << 20)
#define CUTS      64

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* A copy of the exact size, so that a sanitizer sees a read past its end. */
static void run(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = mem_array(len ? len : 1, 1);
    if (len)
        memcpy(copy, bytes, len);
    (void)LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static void run_variants(struct buf *input)
{
    run(input->data, input->len);
    size_t step = input->len / CUTS + 1;
    for (size_t at = 0; at < input->len; at += step) {
        run(input->data, at);
        input->data[at] ^= 0x41;
        run(input->data, input->len);
        input->data[at] ^= 0x41;
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 64;
    DIR *dir = opendir(argv[1]);
    if (dir == NULL) {
        fprintf(stderr, "open corpus \"%s\": none\n", argv[1]);
        return 1;
    }
    int count = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        struct err err = { 0 };
        CLEANUP(buf_fini) struct buf input = { 0 };
        if (!file_read(dirfd(dir), entry->d_name, INPUT_MAX, &input, &err)) {
            fprintf(stderr, "%s\n", err.msg);
            return 1;
        }
        run_variants(&input);
        count++;
    }
    (void)closedir(dir);
    printf("%d inputs replayed\n", count);
    return count > 0 ? 0 : 1;
}
