#include "sidecar/image/glob.h"

bool glob_check(const char *pattern, struct err *err)
{
    size_t len = strlen(pattern);
    if (len == 0 || len > GLOB_PATTERN_MAX)
        return err_set(err, ERR_INVALID, "pattern \"%.80s\": %zu bytes, 1 to %d are allowed",
                       pattern, len, GLOB_PATTERN_MAX);
    for (const char *part = pattern; part != NULL;) {
        const char *slash = strchr(part, '/');
        size_t part_len = slash == NULL ? strlen(part) : (size_t)(slash - part);
        if (part_len == 0 || (part_len <= 2 && part[0] == '.' && part[part_len - 1] == '.'))
            return err_set(err, ERR_INVALID,
                           "pattern \"%.80s\": an empty part, \".\" or \"..\" matches nothing",
                           pattern);
        part = slash == NULL ? NULL : slash + 1;
    }
    return true;
}

/* Where to go on when the rest does not match: one byte more for the last star. */
struct retry {
    const char *pattern; /* after the star; NULL: none */
    size_t at;
};

bool glob_is_match(const char *pattern, struct view path)
{
    const uint8_t *last = path.len > 0 ? memrchr(path.data, '/', path.len) : NULL;
    if (strchr(pattern, '/') == NULL && last != NULL)
        path = view_of(last + 1, (size_t)(path.data + path.len - last) - 1);
    struct retry one = { 0 }, two = { 0 };
    size_t at = 0;
    for (;;) {
        if (pattern[0] == '*' && pattern[1] == '*') {
            pattern += 2;
            two = (struct retry){ pattern, at };
            one.pattern = NULL;
        } else if (pattern[0] == '*') {
            one = (struct retry){ ++pattern, at };
        } else if (at < path.len && ((pattern[0] == '?' && path.data[at] != '/') ||
                                     (pattern[0] != '?' && pattern[0] != '\0' &&
                                      (uint8_t)pattern[0] == path.data[at]))) {
            pattern++;
            at++;
        } else if (pattern[0] == '\0' && at == path.len) {
            return true;
        } else if (one.pattern != NULL && one.at < path.len && path.data[one.at] != '/') {
            pattern = one.pattern;
            at = ++one.at;
        } else if (two.pattern != NULL && two.at < path.len) {
            pattern = two.pattern;
            at = ++two.at;
            one.pattern = NULL;
        } else {
            return false;
        }
    }
}
