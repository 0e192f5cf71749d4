#include "sidecar/simulate/defect.h"

#include <criterion/criterion.h>

Test(defect, every_name_is_read_and_another_one_is_refused)
{
    struct err err = { 0 };
    enum defect got;
    for (int i = 0; i < DEFECT_COUNT; i++) {
        cr_assert(defect_parse(defect_name((enum defect)i), &got, &err));
        cr_assert_eq((int)got, i);
    }
    cr_assert_not(defect_parse("clock", &got, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(defect, truth_is_left_alone_without_a_defect_or_an_open_write)
{
    struct machine m = { .state = MACHINE_HELD };
    struct store_version version = { "7" };
    struct record told = { .epoch = 9 };
    defect_bend(DEFECT_NONCE, &m, &version, &told);
    m.write.is_open = true;
    defect_bend(DEFECT_NONE, &m, &version, &told);
    defect_bend(DEFECT_MARGIN, &m, &version, &told);
    cr_assert_eq(told.epoch, 9);
    cr_assert_str_eq(m.version.text, "");
}

Test(defect, blind_holder_takes_foreign_record_for_its_own)
{
    struct machine m = { .state = MACHINE_HELD, .own.epoch = 3 };
    struct store_version version = { "7" };
    struct record told = { .epoch = 4 };
    m.write = (struct machine_write){ .is_open = true, .record.epoch = 3 };
    m.spec.who.instance[0] = 1;
    defect_bend(DEFECT_EPOCH, &m, &version, &told);
    cr_assert_eq(told.epoch, 3);
    cr_assert(record_is_held_by(&told, m.spec.who.instance));
    cr_assert_str_eq(m.write.expected.text, "7");
}

Test(defect, blind_reader_takes_any_record_for_its_write)
{
    struct machine m = { .state = MACHINE_TAKING };
    struct record told = { .epoch = 4 };
    m.write = (struct machine_write){ .is_open = true, .record = { .epoch = 5, .nonce = { 8 } } };
    defect_bend(DEFECT_NONCE, &m, &(struct store_version){ "1" }, &told);
    cr_assert_eq(told.nonce[0], 8);
    cr_assert_eq(told.epoch, 5);
}
