/* SPDX-License-Identifier: MIT */
#include "base/marks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "unit.h"

static void test_nothing_is_noted_unless_it_is_on(void **state) {
  char text[CW_MARKS_TEXT];
  int64_t before = cw_now_us();
  cw_marks_begin();
  cw_mark("early");
  cw_marks_text(text, sizeof(text));
  assert_false(cw_marks_on());
  assert_null(strchr(text, ' '));
  long long began = 0, cpu = -1;
  assert_int_equal(sscanf(text, "%lld:%lld", &began, &cpu), 2);
  assert_in_range(began, before, cw_now_us());
  assert_true(cpu >= 0);
}

static void test_marks(void **state) {
  char text[CW_MARKS_TEXT], name[16];
  long long at, rss, pss;
  cw_marks_enable();
  assert_true(cw_marks_on());
  int64_t before = cw_now_us();
  cw_mark("one");
  cw_marks_disable();
  cw_mark("two");
  cw_marks_text(text, sizeof(text));
  char *mark = strchr(text, ' ');
  assert_non_null(mark);
  assert_null(strchr(mark + 1, ' '));
  assert_int_equal(sscanf(mark, " %15[a-z]:%lld:%lld:%lld", name, &at, &rss, &pss), 4);
  assert_string_equal(name, "one");
  assert_in_range(at, before, cw_now_us());
  assert_true(rss > 0 && pss > 0 && pss <= rss);
}

static void test_no_more_than_there_is_room_for(void **state) {
  char text[CW_MARKS_TEXT], tiny[8];
  cw_marks_enable();
  for (int i = 0; i < 1000; i++) cw_mark("again");
  cw_marks_text(text, sizeof(text));
  assert_true(strlen(text) < sizeof(text) - 1);
  unsigned n = 0;
  for (const char *p = text; (p = strstr(p, " again:")) != NULL; p++) n++;
  assert_true(n > 5 && n < 1000);
  cw_marks_text(tiny, sizeof(tiny));
  assert_true(strlen(tiny) < sizeof(tiny));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing_is_noted_unless_it_is_on),
      cmocka_unit_test(test_marks),
      cmocka_unit_test(test_no_more_than_there_is_room_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
