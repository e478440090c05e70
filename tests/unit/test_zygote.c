/* SPDX-License-Identifier: MIT */
/* What is said to a zygote, and read of it. */
#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisor/zygote.h"

static generation_t gen;
static int zygote; /* its end */

static int set_up(void **state) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
    return -1;
  gen = (generation_t){.h_fd = -1, .zygote = {.pid = 1000, .fd = fds[0]}};
  zygote = fds[1];
  return cw_settings_init(&gen.settings);
}

static int tear_down(void **state) {
  cw_zygote_close(&gen);
  close(zygote);
  cw_settings_fini(&gen.settings);
  return 0;
}

/* The slot's number, and with it the reading end of the worker's pipe. */
static void a_worker_is_asked_for(void **state) {
  cw_zygote_message_t m;
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  struct iovec iov = {&m, sizeof(m)};
  struct msghdr msg = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
  int fds[2], got;
  char byte = 0;
  assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
  assert_int_equal(cw_zygote_ask(&gen, 5, fds[0]), 0);
  assert_int_equal(recvmsg(zygote, &msg, 0), sizeof(m));
  assert_int_equal(m.slot, 5);
  struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
  assert_non_null(c);
  assert_int_equal(c->cmsg_type, SCM_RIGHTS);
  memcpy(&got, CMSG_DATA(c), sizeof(got));
  assert_int_equal(write(fds[1], "w", 1), 1);
  assert_int_equal(read(got, &byte, 1), 1);
  assert_int_equal(byte, 'w');
  close(got);
  close(fds[0]);
  close(fds[1]);
}

static void one_that_is_gone_cannot_be_asked(void **state) {
  assert_int_equal(shutdown(zygote, SHUT_RDWR), 0);
  assert_int_equal(cw_zygote_ask(&gen, 5, zygote), -1);
}

/* Only its own slot says that it is ready, and only a whole message does. */
static void it_is_ready_when_it_says_so(void **state) {
  cw_zygote_message_t m = {.slot = 0, .pid = 7}, got;
  assert_int_equal(cw_zygote_read(&gen, &got), -1);
  assert_int_equal(errno, EAGAIN);
  assert_int_equal(send(zygote, &m, sizeof(m), 0), sizeof(m));
  assert_int_equal(cw_zygote_read(&gen, &got), sizeof(m));
  assert_int_equal(got.pid, 7);
  assert_false(gen.zygote.ready);
  m.slot = CW_SLOT_ZYGOTE;
  assert_int_equal(send(zygote, &m, sizeof(m) - 1, 0), sizeof(m) - 1);
  assert_int_equal(cw_zygote_read(&gen, &got), sizeof(m) - 1);
  assert_false(gen.zygote.ready);
  assert_int_equal(send(zygote, &m, sizeof(m), 0), sizeof(m));
  assert_int_equal(cw_zygote_read(&gen, &got), sizeof(m));
  assert_true(gen.zygote.ready);
}

static void it_ends_with_its_socket(void **state) {
  char byte;
  cw_zygote_close(&gen);
  assert_int_equal(recv(zygote, &byte, 1, 0), 0);
  assert_int_equal(gen.zygote.pid, 0);
  assert_false(gen.zygote.ready);
}

static void those_of_two_generations_are_listed(void **state) {
  generation_t other = {.zygote.fd = -1}, *out[2];
  state_t st = {.gen = &gen};
  assert_int_equal(cw_zygotes(&st, out, 2), 1);
  st.fallback = &other;
  assert_int_equal(cw_zygotes(&st, out, 2), 1);
  other.zygote.fd = zygote;
  assert_int_equal(cw_zygotes(&st, out, 2), 2);
  assert_ptr_equal(out[0], &gen);
  assert_ptr_equal(out[1], &other);
  assert_int_equal(cw_zygotes(&st, out, 1), 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_worker_is_asked_for),
      TEST(one_that_is_gone_cannot_be_asked),
      TEST(it_is_ready_when_it_says_so),
      TEST(it_ends_with_its_socket),
      TEST(those_of_two_generations_are_listed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
