/* SPDX-License-Identifier: MIT */
/* module, module:attr.sub, module:factory("arg"). */
#include "unit/unit.h"

#include "base/import_string.h"

static bool is(cw_span_t got, const char *wanted) {
  return got.len == strlen(wanted) && memcmp(got.p, wanted, got.len) == 0;
}

static void parts(void **state) {
  static const struct {
    const char *text, *module, *attr;
    bool bare, call;
  } all[] = {{"main", "main", "", true, false},
             {"pkg.main:app", "pkg.main", "app", false, false},
             {"m:a.b", "m", "a.b", false, false},
             {"m:make()", "m", "make()", false, true},
             {"m:make('x:y')", "m", "make('x:y')", false, true}};
  cw_import_string_t s;
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++) {
    assert_null(cw_import_string_split(all[i].text, &s));
    if (!is(s.module, all[i].module) || !is(s.attr, all[i].attr))
      fail_msg("wrong: %s", all[i].text);
    assert_int_equal(s.bare, all[i].bare);
    assert_int_equal(s.call, all[i].call);
  }
  assert_non_null(cw_import_string_split("", &s));
  assert_non_null(cw_import_string_split(":app", &s));
  assert_non_null(cw_import_string_split("m:", &s));
}

static void dotted_names(void **state) {
  cw_span_t attr = SPAN("a.bc..d"), name;
  static const char *const names[] = {"a", "bc", "", "d"};
  for (size_t i = 0; i < CW_ARRAY_LEN(names); i++) {
    assert_true(cw_import_string_next(&attr, &name));
    assert_true(is(name, names[i]));
  }
  assert_false(cw_import_string_next(&attr, &name));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parts),
      cmocka_unit_test(dotted_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
