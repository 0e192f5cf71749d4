/* own.h - ownership in the code: release by attribute, hand over by name.
 *
 * Every owned local is declared with CLEANUP; success hands it over with STEAL. There is no goto.
 * mem_new and its relatives never return NULL: driver and sidecar abort when memory is gone. */
#pragma once
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define STEAL(p)                   \
    __extension__({                \
        __auto_type stolen_ = (p); \
        (p) = NULL;                \
        stolen_;                   \
    })
#define COUNT(array)                 (sizeof(array) / sizeof((array)[0]))
#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/** `count` zeroed objects of `size` bytes; aborts when memory is gone or the product overflows. */
void *mem_array(size_t count, size_t size);

/** One zeroed object of the type. */
#define mem_new(type) ((type *)mem_array(1, sizeof(type)))

/** Grows or moves `old` (NULL is fine) to `count` objects of `size`; new bytes are not zeroed. */
void *mem_resize(void *old, size_t count, size_t size);

/** A heap copy of the first `len` bytes of `text`, NUL added. */
char *str_copy_n(const char *text, size_t len);

/** A heap copy of `text`. */
char *str_copy(const char *text);

/** A heap string by format; never NULL. */
char *str_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Frees and forgets; keeps errno. */
static inline void str_freep(char **p)
{
    int kept_errno = errno;
    free(*p);
    *p = NULL;
    errno = kept_errno;
}
