#include "driver/hclspec/spec.h"

#include "common/base/own.h"
#include "common/base/text.h"

struct decoder {
    unsigned nodes;
    struct err *err;
};

struct field {
    uint32_t number;
    bool is_bytes;
    uint64_t number_value;
    struct view bytes;
};

static bool broken(struct decoder *d, const char *reason)
{
    return err_set(d->err, ERR_INVALID, "read the driver's schema: %s", reason);
}

static bool varint_take(struct view *rest, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && rest->len; shift += 7) {
        const uint8_t byte = *rest->data;
        *rest = view_of(rest->data + 1, rest->len - 1);
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* The next field of a message; the caller has seen that the message is not at its end. */
static bool field_take(struct decoder *d, struct view *rest, struct field *out)
{
    enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };
    uint64_t tag, len;
    if (!varint_take(rest, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
        return broken(d, "a field is cut");
    *out = (struct field){ .number = (uint32_t)(tag >> 3) };
    if ((tag & 7) == WIRE_VARINT)
        return varint_take(rest, &out->number_value) || broken(d, "a number is cut");
    if ((tag & 7) != WIRE_BYTES)
        return broken(d, "a field has an unknown wire type");
    if (!varint_take(rest, &len) || len > rest->len)
        return broken(d, "a field is longer than the message");
    out->is_bytes = true;
    out->bytes = view_of(rest->data, (size_t)len);
    *rest = view_of(rest->data + len, rest->len - (size_t)len);
    return true;
}

static bool text_take(struct decoder *d, const struct field *f, char **out)
{
    if (!f->is_bytes || f->bytes.len > SPEC_TEXT_MAX || !utf8_is_valid(f->bytes))
        return broken(d, "a text is not text");
    free(*out);
    *out = str_copy_n((const char *)f->bytes.data, f->bytes.len);
    return true;
}

static bool spec_take(struct decoder *d, struct view message, unsigned depth, struct spec **out);

static bool child_add(struct decoder *d, struct spec *spec, const struct field *f, unsigned depth)
{
    struct spec *child = NULL;
    if (!f->is_bytes)
        return broken(d, "a nested schema is a number");
    if (!spec_take(d, f->bytes, depth + 1, &child))
        return false;
    spec->children = mem_resize(spec->children, spec->child_count + 1, sizeof(struct spec *));
    spec->children[spec->child_count++] = child;
    return true;
}

/* One entry of an object: key 1, schema 2. */
static bool entry_take(struct decoder *d, struct spec *spec, struct view entry, unsigned depth)
{
    CLEANUP(str_freep) char *key = NULL;
    const size_t before = spec->child_count;
    while (entry.len) {
        struct field f;
        if (!field_take(d, &entry, &f))
            return false;
        if (f.number == 1 && !text_take(d, &f, &key))
            return false;
        if (f.number == 2 && spec->child_count > before)
            return broken(d, "an entry has two schemas");
        if (f.number == 2 && !child_add(d, spec, &f, depth))
            return false;
    }
    if (spec->child_count == before || !key)
        return broken(d, "an entry lacks its key or schema");
    struct spec *child = spec->children[before];
    if (!child->name || !*child->name) {
        free(child->name);
        child->name = str_copy(key);
    }
    child->key = STEAL(key);
    return true;
}

/* What the field numbers of each kind's message mean. */
enum part {
    PART_NONE,
    PART_ENTRY,
    PART_CHILD,
    PART_NAME,
    PART_TYPE,
    PART_TEXT,
    PART_REQUIRED,
    PART_MIN,
    PART_MAX,
    PART_LABEL
};
static const uint8_t parts[SPEC_KIND_END][5] = {
    [SPEC_OBJECT] = { 0, PART_ENTRY },
    [SPEC_ARRAY] = { 0, PART_CHILD },
    [SPEC_ATTR] = { 0, PART_NAME, PART_TYPE, PART_REQUIRED },
    [SPEC_BLOCK_VALUE] = { 0, PART_NAME, PART_REQUIRED, PART_CHILD },
    [SPEC_BLOCK_ATTRS] = { 0, PART_NAME, PART_TYPE, PART_REQUIRED },
    [SPEC_BLOCK_LIST] = { 0, PART_NAME, PART_MIN, PART_MAX, PART_CHILD },
    [SPEC_BLOCK_SET] = { 0, PART_NAME, PART_MIN, PART_MAX, PART_CHILD },
    [SPEC_BLOCK_MAP] = { 0, PART_NAME, PART_LABEL, PART_CHILD },
    [SPEC_DEFAULT] = { 0, PART_CHILD, PART_CHILD },
    [SPEC_LITERAL] = { 0, PART_TEXT },
};

static bool part_take(struct decoder *d, struct spec *spec, const struct field *f, unsigned depth)
{
    const bool known = f->number < COUNT(parts[0]);
    switch (known ? (enum part)parts[spec->kind][f->number] : PART_NONE) {
    case PART_NONE:
        return true;
    case PART_ENTRY:
        return f->is_bytes ? entry_take(d, spec, f->bytes, depth)
                           : broken(d, "an entry is a number");
    case PART_CHILD:
        return child_add(d, spec, f, depth);
    case PART_NAME:
        return text_take(d, f, &spec->name);
    case PART_TYPE:
        return text_take(d, f, &spec->type);
    case PART_TEXT:
        return text_take(d, f, &spec->text);
    case PART_REQUIRED:
        spec->is_required = f->number_value != 0;
        return true;
    case PART_MIN:
        spec->min_items = f->number_value;
        return true;
    case PART_MAX:
        spec->max_items = f->number_value;
        return true;
    case PART_LABEL:
        return ++spec->label_count <= SPEC_LABELS_MAX || broken(d, "a block has too many labels");
    }
    return true;
}

static bool rules_check(struct decoder *d, const struct spec *spec)
{
    const bool is_typed = spec->kind == SPEC_ATTR || spec->kind == SPEC_BLOCK_ATTRS;
    const bool is_block = spec->kind >= SPEC_BLOCK_VALUE && spec->kind <= SPEC_BLOCK_MAP;
    if ((spec->kind == SPEC_ATTR || is_block) && (!spec->name || !*spec->name))
        return broken(d, "an attribute or block outside an object lacks its name");
    if (is_typed && (!spec->type || !*spec->type))
        return broken(d, "an attribute lacks its type");
    if (is_block && spec->kind != SPEC_BLOCK_ATTRS && spec->child_count != 1)
        return broken(d, "a block lacks its nested schema");
    if (spec->kind == SPEC_BLOCK_MAP && spec->label_count == 0)
        return broken(d, "a labelled block lacks its labels");
    if (spec->kind == SPEC_DEFAULT && spec->child_count != 2)
        return broken(d, "a default lacks one of its two sides");
    if (spec->kind == SPEC_LITERAL && !spec->text)
        return broken(d, "a literal is empty");
    return true;
}

static bool spec_fill(struct decoder *d, struct view message, unsigned depth, struct spec *spec)
{
    while (message.len) {
        struct field f;
        if (!field_take(d, &message, &f))
            return false;
        if (f.number >= SPEC_KIND_END || !f.is_bytes)
            return broken(d, "an unknown kind of schema");
        if (spec->kind != SPEC_NONE)
            return broken(d, "a schema has two kinds");
        spec->kind = (enum spec_kind)f.number;
        while (f.bytes.len) {
            struct field inner;
            if (!field_take(d, &f.bytes, &inner) || !part_take(d, spec, &inner, depth))
                return false;
        }
    }
    return spec->kind != SPEC_NONE || broken(d, "a schema has no kind");
}

static int by_key(const void *a, const void *b)
{
    const struct spec *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

static bool members_sort(struct decoder *d, struct spec *object)
{
    if (object->child_count)
        qsort(object->children, object->child_count, sizeof(struct spec *), by_key);
    for (size_t i = 1; i < object->child_count; i++)
        if (by_key(&object->children[i - 1], &object->children[i]) == 0)
            return broken(d, "an object has a key twice");
    return true;
}

static bool spec_take(struct decoder *d, struct view message, unsigned depth, struct spec **out)
{
    if (depth > SPEC_DEPTH_MAX)
        return broken(d, "nested too deep");
    if (++d->nodes > SPEC_NODES_MAX)
        return broken(d, "too many keys");
    CLEANUP(spec_freep) struct spec *spec = mem_new(struct spec);
    if (!spec_fill(d, message, depth, spec))
        return false;
    for (size_t i = 0; i < spec->child_count; i++)
        if (!rules_check(d, spec->children[i]))
            return false;
    if (spec->kind == SPEC_OBJECT && !members_sort(d, spec))
        return false;
    *out = STEAL(spec);
    return true;
}

bool spec_decode(struct view message, struct spec **out, struct err *err)
{
    struct decoder d = { .err = err };
    CLEANUP(spec_freep) struct spec *spec = NULL;
    if (!spec_take(&d, message, 0, &spec) || !rules_check(&d, spec))
        return false;
    *out = STEAL(spec);
    return true;
}

void spec_free(struct spec *spec)
{
    if (!spec)
        return;
    for (size_t i = 0; i < spec->child_count; i++)
        spec_free(spec->children[i]);
    free(spec->children);
    free(spec->key);
    free(spec->name);
    free(spec->type);
    free(spec->text);
    free(spec);
}

const char *spec_kind_name(enum spec_kind kind)
{
#define SPEC_NAME(kind, number) [SPEC_##kind] = #kind,
    static const char *const names[] = { [SPEC_NONE] = "NONE", SPEC_KINDS(SPEC_NAME) };
    return names[kind];
}
