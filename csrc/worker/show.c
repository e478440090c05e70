/* SPDX-License-Identifier: MIT */
/* Stacks for a tool. faulthandler writes to a descriptor that is named beforehand, so
 * this process keeps the number of one, and has memory there when it is asked. */
#include "worker/show.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/forked.h"
#include "worker/dump.h"

/* faulthandler's, for this. */
#define SIGNAL_SHOWN (CW_SIGNAL_SHOW + 1)

/* Set once, or where a zygote's child begins; handlers use it at any time. */
static struct {
  cw_board_t *board;
  int slot;
  int fd; /* kept for the life of the process; nothing is written until it is asked */
  atomic_bool is_memory, busy;
} own = {.fd = -1};

static int keep_a_descriptor(void) {
  own.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (own.fd < 0) own.fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  if (own.fd >= 0) cw_private_add(own.fd);
  return own.fd < 0 ? -1 : 0;
}

int cw_show_init(cw_board_t *board, int slot) {
  CW_ASSERT_GIL();
  own.board = board;
  own.slot = slot;
  if (keep_a_descriptor() < 0) {
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
  }
  return cw_dump_register(SIGNAL_SHOWN, own.fd);
}

void cw_show_forked(int slot) {
  own.slot = slot;
  /* Memory that the zygote has is the zygote's. */
  atomic_store(&own.is_memory, false);
}

bool cw_show_now(void) {
  const cw_stacks_t *s = &own.board->stacks;
  return atomic_load(&s->asked) != atomic_load(&s->answered) && atomic_load(&s->now);
}

/* Makes the kept descriptor one of empty memory. 0 or an errno. */
static int make_room(void) {
  if (atomic_load(&own.is_memory)) return ftruncate(own.fd, 0) != 0 ? errno : 0;
  /* Each write adds: a thread's C stack comes from that thread. */
  int fd = memfd_create("cwsgi-stacks", MFD_CLOEXEC);
  if (fd < 0) return errno;
  int rc =
      fcntl(fd, F_SETFL, O_APPEND) == 0 && dup3(fd, own.fd, O_CLOEXEC) >= 0 ? 0 : errno;
  close(fd);
  if (rc == 0) atomic_store(&own.is_memory, true);
  return rc;
}

static void hand_over(cw_stacks_t *s) {
  off_t whole = lseek(own.fd, 0, SEEK_END);
  size_t room = sizeof(s->text), n = 0;
  while (n < room) {
    ssize_t got = pread(own.fd, s->text + n, room - n, (off_t)n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    n += (size_t)got;
  }
  atomic_store(&s->length, (uint32_t)n);
  atomic_store(&s->whole, whole > 0 ? (uint32_t)whole : 0);
  if (ftruncate(own.fd, 0) != 0) atomic_store(&own.is_memory, false);
}

void cw_show(bool may_load) {
  cw_stacks_t *s = &own.board->stacks;
  uint32_t asked = atomic_load(&s->asked);
  /* Another worker was asked since, or this one has answered. */
  if (atomic_load(&s->slot) != own.slot || asked == atomic_load(&s->answered)) return;
  if (atomic_exchange(&own.busy, true)) return;
  int saved = errno;
  if (may_load) cw_dump_prepare_c();
  int error = make_room();
  atomic_store(&s->length, 0);
  if (error == 0) {
    cw_dump_to(own.fd, SIGNAL_SHOWN);
    hand_over(s);
  }
  atomic_store(&s->error, error);
  atomic_store(&s->answered, asked);
  atomic_store(&own.busy, false);
  errno = saved;
}
