/* SPDX-License-Identifier: MIT */
/* What a hostile worker can put before the supervisor: anything on the board, in the
 * pipe, over a zygote's socket, in a heritage. The input is a list of deeds of both
 * sides. Whatever is done, signals go to children only, and a reload is granted to who
 * may wish for it, once. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/heritage.h"
#include "base/metrics_text.h"
#include "supervisor/adopt.h"
#include "supervisor/board.h"
#include "supervisor/loop.h"
#include "supervisor/watch.h"
#include "supervisor/workers.h"

enum {
  FIRST = 1000, /* the children's ids, */
  ZYGOTE = 1003,
  HOOKS,
  UPGRADE,
  NEW, /* and those that a zygote may name, from here on */
  END = 1012,
  SLOTS = 4, /* that are written to */
};

static bool dead[END]; /* reaped: the id may be somebody else's by now */
static int reloads;

static bool is_child(pid_t pid) {
  return pid >= FIRST && pid < END && !dead[pid];
}

/* In the place of libc's. */
int kill(pid_t pid, int sig) {
  assert(is_child(pid));
  return 0;
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int options) {
  assert(type == P_PID && (options & WNOWAIT));
  memset(info, 0, sizeof(*info));
  if (is_child((pid_t)id)) return 0;
  errno = ECHILD;
  return -1;
}

static int read_settings(void *data, cw_settings_t *out) {
  reloads++;
  return -1;
}

static state_t st;
static generation_t gen;
static cw_launcher_t launcher = {.read_settings = read_settings};
static int zygote; /* its end */

typedef struct input {
  const uint8_t *p;
  size_t n;
} input_t;

static unsigned take(input_t *in) {
  if (in->n == 0) return 0;
  in->n--;
  return *in->p++;
}

static void take_bytes(input_t *in, void *out, size_t n) {
  size_t some = CW_MIN(n, in->n);
  memset(out, 0, n);
  memcpy(out, in->p, some);
  in->p += some;
  in->n -= some;
}

static void set_up(void) {
  char err[128];
  launcher.cwd_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  st.board = mmap(NULL, sizeof(cw_board_t), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (st.board == MAP_FAILED || launcher.cwd_fd < 0 ||
      cw_log_open("/dev/null", err, sizeof(err)) != 0)
    abort();
}

static void begin(unsigned flags) {
  cw_board_t *board = st.board;
  int fds[2];
  memset(board, 0, offsetof(cw_board_t, slots) + SLOTS * sizeof(cw_slot_t));
  memset(dead, 0, sizeof(dead));
  reloads = 0;
  st = (state_t){.launcher = &launcher, .board = board, .want = 2, .gen = &gen};
  gen = (generation_t){.users = 1, .h_fd = -1, .zygote.pid = ZYGOTE};
  if (cw_settings_init(&gen.settings) != 0) abort();
  gen.settings.v[CW_OPT_RELOAD].num = flags & 1;
  gen.settings.v[CW_OPT_MAX_REQUESTS].num = flags & 2;
  gen.settings.v[CW_OPT_TIMEOUT].num = flags & 4 ? 1000 : 0;
  gen.proven = flags & 8;
  st.serving = gen.proven;
  st.hooks.fd = -1;
  st.hooks.pid = HOOKS;
  st.upgrade.child = UPGRADE;
  /* Late in a long life, and at its begin. */
  st.published.watch_ms = flags & 16 ? INT64_MAX / 4 : 1;
  st.published.used = SLOTS;
  if (pipe2(st.notify, O_NONBLOCK | O_CLOEXEC) != 0 ||
      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
    abort();
  gen.zygote.fd = fds[0];
  zygote = fds[1];
  for (int i = 0; i < SLOTS - 1; i++) {
    st.workers[i] = (worker_t){.gen = &gen,
                               .pid = FIRST + i,
                               .age = i + 1,
                               .watch_started = st.published.watch_ms,
                               .beat = st.published.watch_ms};
    gen.users++;
  }
}

static void finish(void) {
  if (gen.zygote.fd >= 0) close(gen.zygote.fd);
  close(zygote);
  close(st.notify[0]);
  close(st.notify[1]);
  cw_settings_fini(&gen.settings);
}

/* ---- the worker's deeds ---------------------------------------------------- */

static void scribble(input_t *in) {
  size_t size = offsetof(cw_board_t, slots) + SLOTS * sizeof(cw_slot_t);
  uint8_t data[64];
  size_t at = take(in) << 8;
  at = (at | take(in)) % (size - sizeof(data));
  take_bytes(in, data, sizeof(data));
  memcpy((char *)st.board + at, data, sizeof(data));
}

/* Aimed: the words that decide something. */
static void aim(input_t *in) {
  cw_slot_t *slot = &st.board->slots[take(in) % SLOTS];
  int64_t value;
  take_bytes(in, &value, sizeof(value));
  switch (take(in) % 7) {
    case 0: atomic_store(&slot->state, (int)value); break;
    case 1: atomic_store(&slot->wish, (int)value); break;
    case 2: atomic_store(&slot->beat, value); break;
    case 3: atomic_store(&slot->oldest, value); break;
    case 4: atomic_store(&st.board->watch_ms, value); break;
    case 5: atomic_store(&st.board->used, (int)value); break;
    default: atomic_store(&slot->running[take(in) % CW_RUNNING].busy, 1);
  }
}

static void lie(input_t *in) {
  cw_zygote_message_t m = {.slot = (int)(take(in) % (SLOTS + 2)) - 1,
                           .pid = FIRST + (int)(take(in) % (END - FIRST))};
  unsigned how = take(in);
  if (how & 1) take_bytes(in, &m.pid, sizeof(m.pid));
  if (how & 2) take_bytes(in, &m.slot, sizeof(m.slot));
  size_t n = how & 4 ? take(in) % sizeof(m) : sizeof(m);
  if (send(zygote, &m, n, MSG_NOSIGNAL) < 0) return; /* it is full, or closed */
}

static void inherit(input_t *in) {
  size_t size = sizeof(cw_heritage_t) + take(in);
  cw_heritage_t *h = calloc(1, size);
  if (!h) abort();
  h->magic = CW_HERITAGE_MAGIC;
  h->size = (uint32_t)size;
  take_bytes(in, &h->n_listeners, sizeof(h->n_listeners));
  take_bytes(in, &h->argc, sizeof(h->argc) + 3 * sizeof(uint32_t));
  take_bytes(in, h + 1, size - sizeof(*h));
  if (take(in) & 1) memset(h->cwd, 'x', sizeof(h->cwd));
  if (cw_heritage_is_sound(h, size)) {
    const char *word = (char *)h + h->argv_off;
    for (int i = 0; i < h->argc; i++) word += strlen(word) + 1;
    assert(word <= (char *)h + h->settings_off);
    cw_settings_t s;
    if (cw_settings_init(&s) != 0) abort();
    (void)!cw_settings_unpack(&s, (char *)h + h->settings_off, h->settings_len);
    cw_settings_fini(&s);
  }
  free(h);
}

/* ---- the supervisor's ------------------------------------------------------ */

static void ask(input_t *in) {
  worker_t *w = &st.workers[take(in) % SLOTS];
  if (w->gen) return;
  *w = (worker_t){.gen = &gen, .asked = true, .age = ++st.n_ages};
  w->watch_started = w->beat = st.published.watch_ms;
  gen.users++;
}

static void reap(input_t *in) {
  struct rusage ru = {.ru_maxrss = 1};
  pid_t pid = FIRST + (int)(take(in) % (END - FIRST));
  int status = (int)(take(in) & 0x7f);
  /* The ends of the others lead to forks, or to a stop that waits. */
  if (!is_child(pid) || (pid >= ZYGOTE && pid < NEW) || !gen.proven) return;
  dead[pid] = true;
  verdict_t v = {0};
  for (int i = 0; i < SLOTS; i++)
    if (st.workers[i].pid == pid) {
      cw_workers_on_end(&st, i, status, &ru, &v);
      cw_loop_act(&st, &v);
      return;
    }
  cw_adopt_stranger(&st, pid, status, &ru);
}

static void scrape(void) {
  cw_buf_t out = {0};
  if (cw_metrics_text(st.board, &out) != 0) abort();
  cw_buf_free(&out);
}

static void act(input_t *in) {
  char byte = 'x';
  verdict_t v = {0};
  switch (take(in) % 13) {
    case 0: scribble(in); break;
    case 1: aim(in); break;
    case 2: lie(in); break;
    case 3:
      if (write(st.notify[1], &byte, 1) < 0) assert(errno == EAGAIN);
      break;
    case 4: inherit(in); break;
    case 5: ask(in); break;
    case 6: reap(in); break;
    case 7: cw_workers_on_notify(&st, &v); break;
    case 8:
      st.watch.at = 0; /* it is time */
      (void)cw_watch(&st);
      break;
    case 9: cw_adopt_read(&st, &v); break;
    case 10: (void)cw_loop_grant(&st); break;
    case 11: cw_board_publish(&st); break;
    default: scrape();
  }
  cw_loop_act(&st, &v);
}

static void check(void) {
  int used = cw_board_used(st.board);
  assert(used >= 0 && used <= CW_MAX_WORKERS);
  assert(reloads <= (cw_opt_num(&gen.settings, CW_OPT_RELOAD) ? 1 : 0));
  for (int i = 0; i < SLOTS; i++) {
    const worker_t *w = &st.workers[i];
    if (w->pid) assert(is_child(w->pid) && (w->pid < ZYGOTE || w->pid >= NEW));
    for (int k = 0; k < i; k++) assert(!w->pid || w->pid != st.workers[k].pid);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input_t in = {data, size};
  if (!st.board) set_up();
  begin(take(&in));
  for (int i = 0; i < 200 && in.n; i++) {
    act(&in);
    check();
  }
  finish();
  return 0;
}
