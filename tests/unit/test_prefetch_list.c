/* SPDX-License-Identifier: MIT */
/* Lists of what a start reads: by `cwsgi record`, stale, hostile. */
#include "unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/prefetch_list.h"

enum { SIZE = 10000 };

static char dir[] = "/tmp/cwsgi-unit-XXXXXX";
static char path[64];

/* "0+10 10+20 " of an entry, for a file of `size` bytes. */
static const char *ranges_in(const char *entry, off_t size) {
  static char text[256];
  off_t offset, length;
  size_t n = 0;
  text[0] = '\0';
  while (cw_prefetch_list_next(&entry, size, &offset, &length))
    n += (size_t)snprintf(text + n, sizeof(text) - n, "%lld+%lld ", (long long)offset,
                          (long long)length);
  return text;
}

static const char *ranges(const char *entry) {
  return ranges_in(entry, SIZE);
}

static void ranges_are_those_of_the_entry(void **state) {
  assert_string_equal(ranges("* /a"), "0+10000 ");
  assert_string_equal(ranges("0+4096 /a"), "0+4096 ");
  assert_string_equal(ranges("4096+10,0+4096 /a"), "4096+10 0+4096 ");
  assert_string_equal(ranges("0+0 /a"), "");
  assert_string_equal(ranges_in("* /a", 0), "");
  assert_string_equal(ranges_in("0+1,1+1 /a", 1), "0+1 ");
}

static void ranges_stay_within_the_file(void **state) {
  assert_string_equal(ranges("0+10001 /a"), "0+10000 ");
  assert_string_equal(ranges("9999+2,10000+1,10001+1 /a"), "9999+1 ");
  assert_string_equal(ranges("0+9223372036854775807 /a"), "0+10000 ");
  assert_string_equal(ranges("5+99999999999999999999 /a"), "5+9995 ");
  assert_string_equal(ranges("9223372036854775807+9223372036854775807 /a"), "");
  assert_string_equal(ranges("99999999999999999999+1,7+1 /a"), "7+1 ");
}

static void what_is_no_range_is_passed_over(void **state) {
  assert_string_equal(ranges("5+-3,1+1 /a"), "1+1 ");
  assert_string_equal(ranges("-5+3 /a"), "");
  assert_string_equal(ranges("5 /a"), "");
  assert_string_equal(ranges("5+ /a"), "");
  assert_string_equal(ranges("5+,6+2 /a"), "6+2 ");
  assert_string_equal(ranges("1+1,,2+2 /a"), "1+1 ");
  assert_string_equal(ranges("1+1x2+2 /a"), "1+1 ");
  assert_string_equal(ranges("0x10+4 /a"), "");
  assert_string_equal(ranges("/a"), "");
  assert_string_equal(ranges(""), "");
}

static void paths_are_absolute(void **state) {
  assert_string_equal(cw_prefetch_list_path("* /a b"), "/a b");
  assert_string_equal(cw_prefetch_list_path("0+1,5+6 /a"), "/a");
  assert_null(cw_prefetch_list_path("* a"));
  assert_null(cw_prefetch_list_path("*"));
  assert_null(cw_prefetch_list_path("* "));
  assert_null(cw_prefetch_list_path("*  /a"));
}

static void entries_are_lines(void **state) {
  cw_prefetch_list_t list;
  char text[] = CW_PREFETCH_HEAD "# a comment\n* /a\n\n0+0 /b\nnothing\n-1+1 /c\r\n9";
  assert_int_equal(cw_prefetch_list_init(&list, text), 0);
  assert_int_equal(list.n, 3);
  assert_string_equal(list.lines[0], "* /a");
  assert_string_equal(list.lines[1], "0+0 /b");
  assert_string_equal(list.lines[2], "9");
  cw_prefetch_list_fini(&list);
}

static void a_nul_ends_it(void **state) {
  cw_prefetch_list_t list;
  char text[] = CW_PREFETCH_HEAD "* /a\n* /b\0c\n* /d\n";
  assert_int_equal(cw_prefetch_list_init(&list, text), 0);
  assert_int_equal(list.n, 2);
  assert_string_equal(list.lines[1], "* /b");
  cw_prefetch_list_fini(&list);
}

static void a_line_may_be_long(void **state) {
  enum { LONG = 1 << 20 };
  cw_prefetch_list_t list;
  char *text = malloc(LONG + 1);
  assert_non_null(text);
  memset(text, '1', LONG);
  text[LONG] = '\0';
  memcpy(text + LONG - 5, "+1 /a", 5);
  assert_int_equal(cw_prefetch_list_init(&list, text), 0);
  assert_int_equal(list.n, 1);
  assert_string_equal(ranges(list.lines[0]), "");
  assert_string_equal(cw_prefetch_list_path(list.lines[0]), "/a");
  cw_prefetch_list_fini(&list);
  free(text);
}

/* ---- the file ------------------------------------------------------------- */

static int clean_up(void **state) {
  unlink(path);
  rmdir(path);
  return 0;
}

static void write_file(const char *text, size_t len) {
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  assert_int_equal(fwrite(text, 1, len, f), len);
  assert_int_equal(fclose(f), 0);
}

/* Returns 0 or errno. */
static int reading(void) {
  cw_buf_t text = {0};
  int rc = cw_prefetch_list_read(path, &text) == 0 ? 0 : errno;
  if (rc == 0) assert_int_equal(text.p[text.len - 1], '\0');
  cw_buf_free(&text);
  return rc;
}

static void the_head_says_that_it_is_one(void **state) {
  assert_int_equal(reading(), ENOENT);
  for (size_t n = 0; n < sizeof(CW_PREFETCH_HEAD) - 1; n++) {
    write_file(CW_PREFETCH_HEAD, n);
    assert_int_equal(reading(), EINVAL);
  }
  write_file(CW_PREFETCH_HEAD, sizeof(CW_PREFETCH_HEAD) - 1);
  assert_int_equal(reading(), 0);
  write_file("cwsgi-prefetch 2\n* /a\n", 22);
  assert_int_equal(reading(), EINVAL);
}

/* Of a FIFO that nobody writes to nothing would ever come. */
static void only_a_file_is_read(void **state) {
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_int_equal(reading(), EINVAL);
  unlink(path);
  assert_int_equal(mkdir(path, 0700), 0);
  assert_int_equal(reading(), EINVAL);
}

static void a_huge_one_is_none(void **state) {
  write_file(CW_PREFETCH_HEAD, sizeof(CW_PREFETCH_HEAD) - 1);
  assert_int_equal(truncate(path, (16 << 20) + 1), 0);
  assert_int_equal(reading(), EINVAL);
}

#define TEST(fn) cmocka_unit_test_teardown(fn, clean_up)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ranges_are_those_of_the_entry),
      cmocka_unit_test(ranges_stay_within_the_file),
      cmocka_unit_test(what_is_no_range_is_passed_over),
      cmocka_unit_test(paths_are_absolute),
      cmocka_unit_test(entries_are_lines),
      cmocka_unit_test(a_nul_ends_it),
      cmocka_unit_test(a_line_may_be_long),
      TEST(the_head_says_that_it_is_one),
      TEST(only_a_file_is_read),
      TEST(a_huge_one_is_none),
  };
  if (!mkdtemp(dir)) return 1;
  snprintf(path, sizeof(path), "%s/list", dir);
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  return rmdir(dir) != 0 ? 1 : rc;
}
