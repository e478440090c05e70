/* SPDX-License-Identifier: MIT */
/* What only debug builds notice: who uses the loop beside its turner, and objects that
 * are none any more. */
#include "unit/unit.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "http/request.h"
#include "http/server_internal.h"

static cw_server_t *srv;

static int start(void **state) {
  static const cw_limits_t limits = {.idle = 60000, .header = 30000};
  const cw_host_t host = {0};
  const char *reason = "?";
  srv = cw_server_new(&cw_h1, NULL, 0, &limits, &host, &reason);
  return srv ? 0 : -1;
}

static int stop(void **state) {
  cw_server_free(srv);
  return 0;
}

/* The signal that ends a process which does this. */
static int ended_by(void (*fn)(void)) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGABRT, SIG_DFL);
    if (!freopen("/dev/null", "w", stderr)) _exit(1);
    fn();
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void hold(void) {
  cw_server_hold_accept(srv, true);
}

static void the_loop_is_its_turners(void **state) {
  assert_int_equal(ended_by(hold), 0);
  atomic_store(&srv->turning, (uintptr_t)pthread_self());
  assert_int_equal(ended_by(hold), 0);
  atomic_store(&srv->turning, (uintptr_t)pthread_self() + 1);
  assert_int_equal(ended_by(hold), SIGABRT);
  atomic_store(&srv->turning, 0);
}

static void free_twice(void) {
  cw_req_t *req = cw_req_new(&srv->service, NULL, -1);
  cw_req_free(req);
  cw_req_free(req);
}

static void a_freed_request_is_none(void **state) {
  assert_int_equal(ended_by(free_twice), SIGABRT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_loop_is_its_turners, start, stop),
      cmocka_unit_test_setup_teardown(a_freed_request_is_none, start, stop),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
