#include "common/base/own.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void *mem_array(size_t count, size_t size)
{
    void *got = calloc(count ? count : 1, size ? size : 1);
    if (got == NULL)
        abort();
    return got;
}

void *mem_resize(void *old, size_t count, size_t size)
{
    void *got = reallocarray(old, count ? count : 1, size ? size : 1);
    if (got == NULL)
        abort();
    return got;
}

char *str_copy_n(const char *text, size_t len)
{
    char *copy = mem_array(len + 1, 1);
    if (len > 0) /* an empty view may have no address */
        memcpy(copy, text, len);
    return copy;
}

char *str_copy(const char *text) { return str_copy_n(text, strlen(text)); }

char *str_format(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len < 0)
        abort();
    return text;
}
