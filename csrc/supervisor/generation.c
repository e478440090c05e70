/* SPDX-License-Identifier: MIT */
/* Generations: settings, sockets and what workers inherit. */
#include "supervisor/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "supervisor/identity.h"

int cw_heritage_make(state_t *st, generation_t *gen) {
  cw_buf_t tail = {0};
  cw_identity_t who;
  if (cw_identity_read(&gen->settings, &who) != 0) return -1;
  uint32_t base = sizeof(cw_heritage_t);
  for (int i = 0; i < st->launcher->argc; i++) {
    const char *word = st->launcher->argv[i];
    if (cw_buf_append(&tail, word, strlen(word) + 1) != 0) goto fail;
  }
  uint32_t settings_off = base + (uint32_t)tail.len;
  if (cw_settings_pack(&gen->settings, &tail) != 0) goto fail;
  gen->h_size = base + tail.len;
  cw_heritage_t *h = calloc(1, gen->h_size);
  if (!h) goto fail;
  h->magic = CW_HERITAGE_MAGIC;
  h->size = (uint32_t)gen->h_size;
  h->n_listeners = gen->sockets.n;
  memcpy(h->listeners, gen->sockets.l, sizeof(h->listeners));
  h->n_workers = (int)cw_opt_num(&gen->settings, CW_OPT_WORKERS);
  char link[64];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", st->launcher->cwd_fd);
  ssize_t n = readlink(link, h->cwd, sizeof(h->cwd) - 1);
  h->cwd[CW_MAX(n, (ssize_t)0)] = '\0';
  h->other_user = who.change;
  h->alone = gen->alone;
  h->control_fd = st->notify[0];
  h->board_fd = st->board_fd;
  h->notify_fd = st->notify[1];
  h->argc = st->launcher->argc;
  h->argv_off = base;
  h->settings_off = settings_off;
  h->settings_len = (uint32_t)gen->h_size - settings_off;
  memcpy((char *)h + base, tail.p, tail.len);
  cw_buf_free(&tail);
  gen->h = h;
  return 0;
fail:
  cw_complain("cannot set up what workers inherit: %s", strerror(errno));
  cw_buf_free(&tail);
  return -1;
}

int cw_heritage_share(generation_t *gen) {
  enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };
  if (gen->h_fd >= 0) return 0;
  /* Not before: the process that went to the background is another one. */
  gen->h->supervisor = getpid();
  int fd = memfd_create("cwsgi", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd >= 0 && cw_write_all(fd, gen->h, gen->h_size) == 0 &&
      fcntl(fd, F_ADD_SEALS, SEALS) == 0) {
    gen->h_fd = fd;
    return 0;
  }
  cw_log(CW_LOG_ERROR, "cannot share what workers inherit: %s", strerror(errno));
  if (fd >= 0) close(fd);
  return -1;
}

void cw_generation_unlisten(state_t *st, generation_t *gen, const generation_t *kept) {
  bool others = st->upgrade.child || st->upgrade.parent;
  cw_sockets_close(&gen->sockets, kept ? &kept->sockets : NULL,
                   others ? NULL : &gen->settings);
}

static void free_generation(state_t *st, generation_t *gen) {
  const generation_t *now = st->gen && st->gen != gen ? st->gen : st->fallback;
  /* Its zygote ends with its socket. No worker can be asked of it any more: that one
   * would be a user. */
  if (gen->zygote.fd >= 0) close(gen->zygote.fd);
  cw_generation_unlisten(st, gen, now != gen ? now : NULL);
  free(gen->h);
  if (gen->h_fd >= 0) close(gen->h_fd);
  cw_settings_fini(&gen->settings);
  free(gen);
}

generation_t *cw_generation_new(state_t *st, cw_settings_t *settings,
                                const generation_t *old) {
  generation_t *gen = calloc(1, sizeof(*gen));
  if (!gen) {
    cw_complain("out of memory");
    cw_settings_fini(settings);
    return NULL;
  }
  gen->settings = *settings;
  gen->h_fd = gen->zygote.fd = -1;
  gen->alone = !old;
  if (cw_sockets_open(&gen->settings, old ? &old->sockets : NULL, &gen->sockets) != 0 ||
      cw_heritage_make(st, gen) != 0) {
    free_generation(st, gen);
    return NULL;
  }
  return gen;
}

void cw_generation_ref(generation_t *gen) {
  gen->users++;
}

void cw_generation_unref(state_t *st, generation_t *gen) {
  if (--gen->users == 0) free_generation(st, gen);
}
