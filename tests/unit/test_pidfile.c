/* SPDX-License-Identifier: MIT */
/* The pid file: of a cwsgi that runs, of one that is gone, of somebody else. */
#include "unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/pidfile.h"

static char dir[] = "/tmp/cwsgi-unit-XXXXXX";
static char path[64], other[64];
static cw_settings_t s;

static long written(const char *at) {
  long pid = -1;
  FILE *f = fopen(at, "r");
  if (!f) return -1;
  assert_int_equal(fscanf(f, "%ld", &pid), 1);
  fclose(f);
  return pid;
}

static void name(pid_t pid) {
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fprintf(f, "%ld\n", (long)pid);
  fclose(f);
}

/* A process that shows `title` as its command. */
static pid_t run_as(const char *title) {
  int fds[2];
  char byte;
  assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    execl("/bin/sleep", title, "60", (char *)NULL);
    _exit(1);
  }
  close(fds[1]);
  assert_int_equal(read(fds[0], &byte, 1), 0); /* exec has closed it */
  close(fds[0]);
  return pid;
}

static void end(pid_t pid) {
  kill(pid, SIGKILL);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int clean_up(void **state) {
  unlink(path);
  unlink(other);
  return 0;
}

static void it_names_this_process(void **state) {
  assert_int_equal(cw_pidfile_write(&s, path), 0);
  assert_int_equal(written(path), getpid());
  assert_int_equal(cw_pidfile_write(&s, path), 0); /* it is ours */
  assert_int_equal(cw_pidfile_move(&s, path, other), 0);
  assert_int_equal(written(path), -1);
  assert_int_equal(written(other), getpid());
  cw_pidfile_remove(&s, other);
  assert_int_equal(written(other), -1);
}

static void a_running_cwsgi_keeps_it(void **state) {
  pid_t pid = run_as("/usr/bin/cwsgi");
  name(pid);
  assert_int_equal(cw_pidfile_write(&s, path), -1);
  assert_int_equal(written(path), pid);
  end(pid);
  assert_int_equal(cw_pidfile_write(&s, path), 0);
  assert_int_equal(written(path), getpid());
}

/* The id was given again. */
static void another_program_does_not(void **state) {
  pid_t pid = run_as("/usr/bin/sleep");
  name(pid);
  assert_int_equal(cw_pidfile_write(&s, path), 0);
  assert_int_equal(written(path), getpid());
  end(pid);
}

static void somebody_elses_is_not_removed(void **state) {
  name(1);
  cw_pidfile_remove(&s, path);
  assert_int_equal(written(path), 1);
}

static void where_it_cannot_be_is_said(void **state) {
  assert_int_equal(cw_pidfile_write(&s, "/no/such/folder/pid"), -1);
}

#define TEST(fn) cmocka_unit_test_teardown(fn, clean_up)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(it_names_this_process),      TEST(a_running_cwsgi_keeps_it),
      TEST(another_program_does_not),   TEST(somebody_elses_is_not_removed),
      TEST(where_it_cannot_be_is_said),
  };
  if (!mkdtemp(dir) || cw_settings_init(&s) != 0) return 1;
  snprintf(path, sizeof(path), "%s/pid", dir);
  snprintf(other, sizeof(other), "%s/other", dir);
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  cw_settings_fini(&s);
  return rmdir(dir) != 0 ? 1 : rc;
}
