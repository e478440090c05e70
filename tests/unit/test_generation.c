/* SPDX-License-Identifier: MIT */
/* What workers inherit: whole, and nobody can change it any more. */
#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisor/generation.h"

static char first[] = "cwsgi", second[] = "m:app";
static char *words[] = {first, second, NULL};
static cw_launcher_t launcher = {.argc = 2, .argv = words};
static state_t st;

static int set_up(void **state) {
  launcher.cwd_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  st = (state_t){.launcher = &launcher, .board_fd = 71, .notify = {72, 73}};
  return launcher.cwd_fd < 0;
}

static int tear_down(void **state) {
  return close(launcher.cwd_fd);
}

/* One that listens at no address of its own: an inherited socket. */
static generation_t *make(void) {
  cw_settings_t s;
  char text[32];
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  assert_int_equal(cw_settings_init(&s), 0);
  snprintf(text, sizeof(text), "fd://%d", fd);
  assert_int_equal(cw_settings_set_text(&s, CW_OPT_BIND, text, CW_FROM_ARGV), 0);
  assert_int_equal(cw_settings_set_text(&s, CW_OPT_WORKERS, "3", CW_FROM_ARGV), 0);
  generation_t *gen = cw_generation_new(&st, &s, NULL);
  assert_non_null(gen);
  cw_generation_ref(gen);
  return gen;
}

static void a_heritage_is_sound(void **state) {
  generation_t *gen = make();
  const cw_heritage_t *h = gen->h;
  assert_true(cw_heritage_is_sound(h, gen->h_size));
  assert_int_equal(h->n_listeners, 1);
  assert_int_equal(h->n_workers, 3);
  assert_int_equal(h->alone, 1);
  assert_int_equal(h->board_fd, 71);
  assert_int_equal(h->control_fd, 72);
  assert_int_equal(h->notify_fd, 73);
  assert_string_equal(h->cwd, "/");
  const char *argv = (const char *)h + h->argv_off;
  assert_string_equal(argv, "cwsgi");
  assert_string_equal(argv + sizeof("cwsgi"), "m:app");
  cw_generation_unref(&st, gen);
}

static void what_is_shared_cannot_be_changed(void **state) {
  generation_t *gen = make();
  assert_int_equal(gen->h_fd, -1);
  assert_int_equal(cw_heritage_share(gen), 0);
  int fd = gen->h_fd;
  assert_int_equal(cw_heritage_share(gen), 0);
  assert_int_equal(gen->h_fd, fd); /* once */
  assert_int_equal(gen->h->supervisor, getpid());
  cw_heritage_t *seen = mmap(NULL, gen->h_size, PROT_READ, MAP_SHARED, fd, 0);
  assert_ptr_not_equal(seen, MAP_FAILED);
  assert_memory_equal(seen, gen->h, gen->h_size);
  assert_int_equal(munmap(seen, gen->h_size), 0);
  assert_int_equal(pwrite(fd, "x", 1, 0), -1);
  assert_int_equal(errno, EPERM);
  assert_int_equal(ftruncate(fd, 1), -1);
  assert_int_equal(ftruncate(fd, 1 << 20), -1);
  assert_ptr_equal(mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
                   MAP_FAILED);
  cw_generation_unref(&st, gen);
}

/* Its sockets, its heritage, its zygote's socket. */
static void the_last_one_closes_all(void **state) {
  generation_t *gen = make();
  char byte;
  int fds[2], listener = gen->sockets.l[0].fd;
  assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
  gen->zygote.fd = fds[0];
  assert_int_equal(cw_heritage_share(gen), 0);
  int shared = gen->h_fd;
  cw_generation_ref(gen);
  cw_generation_unref(&st, gen);
  assert_true(fcntl(listener, F_GETFD) >= 0);
  cw_generation_unref(&st, gen);
  assert_int_equal(fcntl(listener, F_GETFD), -1);
  assert_int_equal(fcntl(shared, F_GETFD), -1);
  assert_int_equal(recv(fds[1], &byte, 1, MSG_DONTWAIT), 0);
  close(fds[1]);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_heritage_is_sound),
      TEST(what_is_shared_cannot_be_changed),
      TEST(the_last_one_closes_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
