/* SPDX-License-Identifier: MIT */
/* --preload: a process that has imported the app once and forks the workers. They
 * become our children, not its own: it forks twice, and this process is a subreaper. */
#include "supervisor/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "supervisor/boot.h"

bool cw_zygote_wanted(const generation_t *gen) {
  return cw_opt_num(&gen->settings, CW_OPT_PRELOAD_APP) != 0;
}

int cw_zygotes(state_t *st, generation_t **out, int max) {
  int n = 0;
  generation_t *all[] = {st->gen, st->fallback};
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++)
    if (all[i] && all[i]->zygote.fd >= 0 && n < max) out[n++] = all[i];
  return n;
}

static int start(state_t *st, generation_t *gen) {
  zygote_t *z = &gen->zygote;
  int fds[2];
  /* Also for when this start fails: nothing else would have it tried again. */
  st->next = CW_MAX(st->next, z->next);
  if (cw_now_us() < z->next) return -1;
  st->next = z->next = cw_now_us() + RETRY_US;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
    cw_log(CW_LOG_ERROR, "cannot start the preloading process: %s", strerror(errno));
    return -1;
  }
  fcntl(fds[0], F_SETFL, O_NONBLOCK);
  z->fd = fds[0];
  pid_t pid = cw_boot(st, gen, CW_SLOT_ZYGOTE, fds[1]);
  close(fds[1]);
  if (pid < 0) {
    close(fds[0]);
    z->fd = -1;
    return -1;
  }
  z->pid = pid;
  z->ready = false;
  st->next = 0;
  cw_log(CW_LOG_INFO, "Preloading the app in pid: %d", (int)pid);
  return 0;
}

void cw_zygote_have(state_t *st, generation_t *gen) {
  if (!gen->zygote.pid) (void)start(st, gen);
}

int cw_zygote_ask(generation_t *gen, int slot, int word_fd) {
  zygote_t *z = &gen->zygote;
  cw_zygote_message_t m = {.slot = slot};
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec iov = {&m, sizeof(m)};
  struct msghdr msg = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
  struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &word_fd, sizeof(word_fd));
  if (sendmsg(z->fd, &msg, MSG_NOSIGNAL) == (ssize_t)sizeof(m)) return 0;
  cw_log(CW_LOG_ERROR, "the preloading process does not listen: %s", strerror(errno));
  return -1;
}

ssize_t cw_zygote_read(generation_t *gen, cw_zygote_message_t *m) {
  ssize_t n = recv(gen->zygote.fd, m, sizeof(*m), MSG_TRUNC);
  if (n == (ssize_t)sizeof(*m) && m->slot == CW_SLOT_ZYGOTE) gen->zygote.ready = true;
  return n;
}

void cw_zygote_close(generation_t *gen) {
  zygote_t *z = &gen->zygote;
  if (z->fd >= 0) close(z->fd);
  z->fd = -1;
  z->pid = 0;
  z->ready = false;
}
