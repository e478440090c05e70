/* SPDX-License-Identifier: MIT */
/* The file of the error log. */
#include "unit/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

static char err[200];

/* cw_log() to a file that is rotated. */
static void error_log_files(void **state) {
  char path[100], moved[100], text[400];
  (void)cw_log_take_count(CW_LOG_ERROR); /* of other tests */
  snprintf(path, sizeof(path), "%s/error.log", dir);
  snprintf(moved, sizeof(moved), "%s/error.log.1", dir);
  assert_int_equal(cw_log_open("/no/such/folder/x", err, sizeof(err)), -1);
  assert_non_null(strstr(err, "/no/such/folder/x"));
  assert_int_equal(cw_log_fd(), STDERR_FILENO);
  assert_int_equal(cw_log_open(path, err, sizeof(err)), 0);
  int fd = cw_log_fd();
  cw_log(CW_LOG_ERROR, "first");
  assert_int_equal(rename(path, moved), 0);
  cw_log(CW_LOG_ERROR, "second");
  cw_log_reopen();
  assert_int_equal(cw_log_fd(), fd);
  cw_log(CW_LOG_ERROR, "third");
  assert_int_equal(cw_log_open("-", err, sizeof(err)), 0);
  FILE *f = fopen(moved, "r");
  size_t n = fread(text, 1, sizeof(text) - 1, f);
  text[n] = '\0';
  fclose(f);
  assert_non_null(strstr(text, "] [ERROR] first\n"));
  assert_non_null(strstr(text, "] [ERROR] second\n"));
  f = fopen(path, "r");
  n = fread(text, 1, sizeof(text) - 1, f);
  text[n] = '\0';
  fclose(f);
  assert_non_null(strstr(text, "] [ERROR] third\n"));
  assert_null(strstr(text, "second"));
  assert_int_equal(cw_log_take_count(CW_LOG_ERROR), 3);
  assert_int_equal(cw_log_take_count(CW_LOG_ERROR), 0);
  unlink(path);
  unlink(moved);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(error_log_files),
  };
  alarm(60); /* nothing here may wait */
  return RUN_IN_FOLDER(tests);
}
