/* SPDX-License-Identifier: MIT */
/* Children of the app, told from our own, and the descriptors that they do not get. */
#include "base/forked.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

enum {
  MOST = 1 << 20, /* descriptors; those above it are left to close-on-exec */
  WORD = 64,
};

bool cw_forked_child;

/* A bit for each descriptor; pages that nobody touches cost nothing. Guarded by `lock`.
 */
static uint64_t table[MOST / WORD];
static int highest = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static sigset_t saved_mask; /* guarded by `lock` while a fork is under way */
static void (*on_child)(void);
/* Whose end is that of its thread; no memory of its own. */
static _Thread_local bool expected;

void cw_private_lock(void) {
  pthread_mutex_lock(&lock);
}

void cw_private_unlock(void) {
  pthread_mutex_unlock(&lock);
}

void cw_private_add_locked(int fd) {
  if (fd < 0 || fd >= MOST) return;
  table[fd / WORD] |= UINT64_C(1) << fd % WORD;
  if (fd > highest) highest = fd;
}

void cw_private_remove_locked(int fd) {
  if (fd < 0 || fd >= MOST) return;
  table[fd / WORD] &= ~(UINT64_C(1) << fd % WORD);
}

void cw_private_add(int fd) {
  cw_private_lock();
  cw_private_add_locked(fd);
  cw_private_unlock();
}

void cw_private_close(int fd) {
  cw_private_lock();
  cw_private_remove_locked(fd);
  close(fd);
  cw_private_unlock();
}

static void close_all_locked(void) {
  for (int i = 0; i <= highest / WORD && highest >= 0; i++) {
    for (uint64_t bits = table[i]; bits; bits &= bits - 1)
      close(i * WORD + __builtin_ctzll(bits));
    table[i] = 0;
  }
  highest = -1;
}

/* The child starts with all signals blocked: one that came before its handlers are
 * those of a plain process would be taken for the worker's, and lost. */
static void before(void) {
  sigset_t all, mask;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &mask);
  pthread_mutex_lock(&lock);
  saved_mask = mask;
}

static void after(void) {
  sigset_t mask = saved_mask;
  pthread_mutex_unlock(&lock);
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static void in_child(void) {
  if (!expected) {
    cw_forked_child = true;
    close_all_locked();
    on_child();
  }
  after();
}

int cw_forked_watch(void (*child)(void)) {
  on_child = child;
  return -pthread_atfork(before, after, in_child);
}

void cw_forked_expect(bool ours) {
  expected = ours;
}
