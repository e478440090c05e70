/* SPDX-License-Identifier: MIT */
/* Workers that a zygote forks: who was asked for, whom it names, and who has ended
 * before it was named. The kernel makes them our children. */
#include "supervisor/adopt.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "supervisor/generation.h"
#include "supervisor/hooks.h"
#include "supervisor/identity.h"
#include "supervisor/pace.h"
#include "supervisor/words.h"
#include "supervisor/workers.h"
#include "supervisor/zygote.h"

/* ---- workers that end before their zygote has named them ------------------ */

static bool somebody_is_asked(const state_t *st) {
  for (int i = 0; i < CW_MAX_WORKERS; i++)
    if (st->workers[i].asked) return true;
  return false;
}

/* Kept no longer than somebody is asked for: a process id may be given again, and that
 * worker would be taken for dead. */
void cw_adopt_stranger(state_t *st, pid_t pid, int status, const struct rusage *ru) {
  if (!somebody_is_asked(st)) return;
  if (st->n_strays == CW_ARRAY_LEN(st->strays)) {
    memmove(&st->strays[0], &st->strays[1], sizeof(st->strays) - sizeof(st->strays[0]));
    st->n_strays--;
  }
  st->strays[st->n_strays++] = (stray_t){pid, status, *ru};
}

/* Whether `pid` is one of them; then it is taken out. */
static bool take_stray(state_t *st, pid_t pid, stray_t *out) {
  for (unsigned i = 0; i < st->n_strays; i++) {
    if (st->strays[i].pid != pid) continue;
    *out = st->strays[i];
    st->strays[i] = st->strays[--st->n_strays];
    return true;
  }
  return false;
}

/* ---- whom a zygote may name ----------------------------------------------- */

static bool is_known(const state_t *st, pid_t pid) {
  const generation_t *all[] = {st->gen, st->fallback};
  for (int i = 0; i < CW_MAX_WORKERS; i++)
    if (st->workers[i].pid == pid) return true;
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++)
    if (all[i] && all[i]->zygote.pid == pid) return true;
  return pid == st->hooks.pid || pid == st->upgrade.child;
}

/* Whether it is alive, or dead and not reaped, and a child of this very process. */
static bool is_child(pid_t pid) {
  siginfo_t info;
  return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* Whether all its user ids are `uid`. */
static bool belongs_to(pid_t pid, uid_t uid) {
  char path[40], line[256];
  unsigned id[4] = {0};
  bool right = false;
  snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
  FILE *f = fopen(path, "re");
  while (f && fgets(line, sizeof(line), f))
    if (sscanf(line, "Uid: %u %u %u %u", &id[0], &id[1], &id[2], &id[3]) == 4)
      right = id[0] == uid && id[1] == uid && id[2] == uid && id[3] == uid;
  if (f) fclose(f);
  return right;
}

/* A zygote has the app's rights and may say anything. Whom we take for a worker we send
 * signals to, and wait for. */
static bool may_be_worker(const state_t *st, const generation_t *gen, pid_t pid) {
  cw_identity_t who;
  if (pid <= 0 || is_known(st, pid) || !is_child(pid)) return false;
  if (cw_identity_read(&gen->settings, &who) != 0) return false;
  return !who.change || belongs_to(pid, who.uid);
}

/* ---- answers -------------------------------------------------------------- */

/* `pid` < 0: it could not be forked. Called with a slot that is asked for. */
static void on_forked(state_t *st, int slot, pid_t pid, verdict_t *v) {
  worker_t *w = &st->workers[slot];
  generation_t *gen = w->gen;
  stray_t dead;
  bool is_dead = take_stray(st, pid, &dead);
  if (!is_dead && pid >= 0 && !may_be_worker(st, gen, pid)) {
    cw_log(CW_LOG_ERROR, "the preloading process named pid %d, which is no new worker",
           (int)pid);
    pid = -1;
  }
  w->asked = false;
  if (!somebody_is_asked(st)) st->n_strays = 0;
  if (pid < 0) {
    atomic_store(&st->board->slots[slot].state, CW_WORKER_NONE);
    cw_worker_forget(w);
    st->next = cw_now_us() + RETRY_US;
    cw_generation_unref(st, gen);
    return;
  }
  w->pid = pid;
  atomic_store(&st->board->slots[slot].pid, (int)pid);
  cw_log(CW_LOG_INFO, "Booting worker with pid: %d", (int)pid);
  cw_hooks_forked(st, slot, w->age, pid);
  if (st->stopping && !is_dead) cw_worker_tell(w, st->quick ? SIGQUIT : SIGTERM);
  if (is_dead) cw_workers_on_end(st, slot, dead.status, &dead.ru, v);
}

/* Reads one answer: a worker's id, or that it is ready. The worker that is named may
 * have ended already, and its generation with it: `gen` is the caller's to hold.
 * Returns what recv(2) did. */
static ssize_t read_answer(state_t *st, generation_t *gen, verdict_t *v) {
  cw_zygote_message_t m;
  ssize_t n = cw_zygote_read(gen, &m);
  /* Only for slots that were asked of it: others are none of its business. */
  if (n == (ssize_t)sizeof(m) && m.slot >= 0 && m.slot < CW_MAX_WORKERS &&
      st->workers[m.slot].gen == gen && st->workers[m.slot].asked)
    on_forked(st, m.slot, m.pid, v);
  return n;
}

/* No more than it may tell in this time: the rest is read later. The end of the file
 * counts, too, where the process lives on without its socket. */
static void read_answers(state_t *st, generation_t *gen, verdict_t *v) {
  int64_t now = cw_now_us(), unused = -1;
  while (gen->zygote.fd >= 0 && cw_pace_allows(&st->answers, now, &unused)) {
    ssize_t n = read_answer(st, gen, v);
    if (n < 0 && errno == EAGAIN) return;
    cw_pace_note(&st->answers, now);
    if (n <= 0) return;
  }
}

void cw_adopt_read(state_t *st, verdict_t *v) {
  generation_t *with[2];
  int n = cw_zygotes(st, with, CW_ARRAY_LEN(with));
  for (int i = 0; i < n; i++) cw_generation_ref(with[i]);
  for (int i = 0; i < n; i++) read_answers(st, with[i], v);
  for (int i = 0; i < n; i++) cw_generation_unref(st, with[i]);
}

void cw_adopt_on_zygote_end(state_t *st, generation_t *gen, int status, verdict_t *v) {
  cw_zygote_close(gen);
  /* Who was asked for will not come. */
  for (int i = 0; i < CW_MAX_WORKERS; i++)
    if (st->workers[i].gen == gen && st->workers[i].asked) on_forked(st, i, -1, v);
  if (st->stopping || gen != st->gen) return;
  if (gen->proven)
    cw_log(CW_LOG_ERROR, "the preloading process ended; starting another one");
  else
    cw_verdict_start_failed(v, status);
}

/* A worker that was forked but not named yet could not be ended: wait for its name. */
static void await_answers(state_t *st, generation_t *gen) {
  int64_t end = cw_now_us() + 1000 * MS, left;
  verdict_t v = {0};
  for (int i = 0; i < CW_MAX_WORKERS; i++) {
    struct pollfd p = {.fd = gen->zygote.fd, .events = POLLIN};
    while (st->workers[i].gen == gen && st->workers[i].asked &&
           (left = end - cw_now_us()) > 0 && poll(&p, 1, (int)(left / MS) + 1) > 0 &&
           read_answer(st, gen, &v) > 0) {
    }
    if (st->workers[i].gen == gen && st->workers[i].asked) on_forked(st, i, -1, &v);
  }
  /* Nobody starts a worker of it any more, so none can fail to. */
  assert(!v.start_failed);
}

void cw_adopt_end_zygote(state_t *st, generation_t *gen) {
  if (gen->zygote.fd < 0) return;
  await_answers(st, gen);
  /* It ends with its socket; reaped as any child. */
  cw_zygote_close(gen);
}
