/* SPDX-License-Identifier: MIT */
/* Listeners: accepting, pausing, holding, and the places that are kept. */
#include "http/accept.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/forked.h"
#include "base/log.h"
#include "http/evict.h"
#include "http/server_internal.h"

enum {
  BATCH = 16,  /* connections of one event, so that requests go on */
  RETRY = 100, /* ms until accepting again when out of descriptors */
};

static void poll_acceptors(cw_server_t *srv, bool on);

static void fill_spare(cw_server_t *srv) {
  while (srv->acceptors.n_spare < srv->acceptors.want_spare) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) return;
    srv->acceptors.spare[srv->acceptors.n_spare++] = fd;
  }
}

static bool take_spare(cw_server_t *srv) {
  if (srv->acceptors.n_spare == 0) return false;
  close(srv->acceptors.spare[--srv->acceptors.n_spare]);
  return true;
}

/* Accepts again, unless there is another reason not to. */
static void resume_accepting(cw_server_t *srv) {
  if (!srv->acceptors.paused && !srv->acceptors.full && !srv->acceptors.held &&
      !srv->service.draining)
    poll_acceptors(srv, true);
}

static void on_accept_retry(uv_timer_t *timer);

/* Tries again in a moment: nothing says when there are descriptors, or when somebody
 * has been silent for long enough. */
static void retry_accepting(cw_server_t *srv) {
  uv_timer_start(&srv->acceptors.retry, on_accept_retry, RETRY, 0);
}

/* At the limit every end of a request may make room. */
static void set_full(cw_server_t *srv, bool full) {
  srv->acceptors.full = full;
  atomic_store(&srv->service.posts.eager, full);
}

static bool at_limit(const cw_server_t *srv) {
  return srv->service.limits.connections &&
         srv->n_conns >= srv->service.limits.connections;
}

void cw_accept_made_room(cw_server_t *srv) {
  CW_ASSERT_BATON(srv);
  if (CW_UNLIKELY(srv->acceptors.n_spare < srv->acceptors.want_spare)) fill_spare(srv);
  if (!srv->acceptors.full) return;
  set_full(srv, false);
  resume_accepting(srv);
}

void cw_accept_hold(cw_server_t *srv, bool hold) {
  CW_ASSERT_BATON(srv);
  if (srv->acceptors.held == hold) return;
  srv->acceptors.held = hold;
  if (hold)
    poll_acceptors(srv, false);
  else
    resume_accepting(srv);
}

bool cw_accept_waits(const cw_server_t *srv) {
  struct pollfd fds[CW_MAX_LISTENERS];
  nfds_t n = 0;
  for (int i = 0; i < srv->acceptors.n; i++) {
    const struct cw_acceptor *a = &srv->acceptors.items[i];
    if (a->open && !a->info->metrics)
      fds[n++] = (struct pollfd){.fd = a->info->fd, .events = POLLIN};
  }
  return n && poll(fds, n, 0) > 0;
}

/* No descriptor is left, or no memory. Returns whether to try at once again. */
static bool find_descriptor(struct cw_acceptor *a) {
  cw_server_t *srv = a->srv;
  int error = errno;
  bool soon;
  cw_conn_t *victim = cw_evict_candidate(srv, &soon);
  if (victim) {
    cw_conn_evict(victim);
    return true;
  }
  if ((a->info->metrics || srv->acceptors.exceeding) && take_spare(srv))
    return srv->acceptors.on_spare = true;
  cw_log(CW_LOG_WARNING, "cannot accept: %s; trying again in %d ms", strerror(error),
         RETRY);
  srv->acceptors.paused = true;
  poll_acceptors(srv, false);
  retry_accepting(srv);
  return false;
}

/* Accepts up to `most` connections. Returns false when none is left. */
static bool accept_some(struct cw_acceptor *a, int most) {
  cw_server_t *srv = a->srv;
  for (int i = 0; i < most; i++) {
    bool limited = !a->info->metrics && at_limit(srv), soon = false;
    cw_conn_t *victim = limited ? cw_evict_for_one(srv, &soon) : NULL;
    bool exceed = srv->acceptors.exceeding && cw_evict_may_exceed(srv);
    if (limited && !victim && !exceed) {
      /* Until one is closed or becomes idle, the rest waits in the backlog. */
      set_full(srv, true);
      poll_acceptors(srv, false);
      if (soon || srv->service.limits.health) retry_accepting(srv);
      return false;
    }
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    peer.ss_family = AF_UNSPEC;
    cw_private_lock();
    int fd = accept4(a->info->fd, (struct sockaddr *)&peer, &len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    cw_private_add_locked(fd);
    cw_private_unlock();
    if (fd >= 0) {
      if (victim) cw_conn_evict(victim);
      srv->acceptors.on_spare |= limited && !victim;
      cw_conn_accept(srv, a->info, fd, &peer);
      continue;
    }
    srv->acceptors.on_spare = false;
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
    bool short_of =
        errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
    if (!short_of || !find_descriptor(a)) return false;
  }
  return true;
}

static void on_accept_retry(uv_timer_t *timer) {
  cw_server_t *srv = timer->data;
  CW_TAG_CHECK(srv, CW_TAG_SERVER);
  srv->acceptors.paused = false;
  set_full(srv, false);
  /* Whoever still waits would have been taken by a worker that has room. There may be a
   * probe among them. */
  srv->acceptors.exceeding = srv->service.limits.health && !srv->acceptors.held;
  for (int i = 0; srv->acceptors.exceeding && i < srv->acceptors.n; i++)
    if (srv->acceptors.items[i].open) accept_some(&srv->acceptors.items[i], CW_SPARE);
  srv->acceptors.exceeding = false;
  resume_accepting(srv);
  uv_stop(timer->loop); /* as every timer does: end_turn() in server.c */
}

static void on_acceptable(uv_poll_t *poll, int status, int events) {
  struct cw_acceptor *a = CW_CONTAINER(poll, struct cw_acceptor, poll);
  CW_TAG_CHECK(a->srv, CW_TAG_SERVER);
  const cw_host_t *host = &a->srv->service.host;
  if (a->info->metrics || !host->accepts || host->accepts(host->data))
    accept_some(a, BATCH);
}

static void poll_acceptors(cw_server_t *srv, bool on) {
  for (int i = 0; i < srv->acceptors.n; i++) {
    struct cw_acceptor *a = &srv->acceptors.items[i];
    if (!a->open || a->polled == on) continue;
    /* A scrape matters most when the service is full. */
    if (!on && a->info->metrics && !srv->acceptors.paused) continue;
    a->polled = on;
    int rc = on ? uv_poll_start(&a->poll, UV_READABLE, on_acceptable)
                : uv_poll_stop(&a->poll);
    assert(rc == 0);
    (void)rc;
  }
}

int cw_accept_listen(cw_server_t *srv, int backlog) {
  CW_ASSERT_BATON(srv);
  for (int i = 0; i < srv->acceptors.n; i++) {
    const cw_listener_t *l = srv->acceptors.items[i].info;
    if (listen(l->fd, backlog) == 0) continue;
    int rc = -errno;
    cw_log(CW_LOG_ERROR, "cannot listen at %s%s%s: %s", l->host, l->is_unix ? "" : ":",
           l->port, strerror(-rc));
    return rc;
  }
  bool scraped = false;
  for (int i = 0; i < srv->acceptors.n; i++)
    scraped |= srv->acceptors.items[i].info->metrics != 0;
  srv->acceptors.want_spare = scraped || srv->service.limits.health ? CW_SPARE : 0;
  fill_spare(srv);
  poll_acceptors(srv, true);
  return 0;
}

CW_COLD int cw_accept_init(cw_server_t *srv, const cw_listener_t *listeners, int n) {
  cw_acceptors_t *all = &srv->acceptors;
  uv_timer_init(&srv->loop, &all->retry);
  all->retry.data = srv;
  for (int i = 0; i < n; i++) {
    struct cw_acceptor *a = &all->items[i];
    a->srv = srv;
    a->info = &listeners[i];
    int rc = uv_poll_init_socket(&srv->loop, &a->poll, listeners[i].fd);
    if (rc != 0) return rc;
    a->open = true;
    all->n = i + 1;
  }
  return 0;
}

void cw_accept_drain(cw_server_t *srv) {
  CW_ASSERT_BATON(srv);
  cw_acceptors_t *all = &srv->acceptors;
  for (int i = 0; i < all->n; i++) {
    struct cw_acceptor *a = &all->items[i];
    if (!a->open) continue;
    /* Who is in the queue has been told "connected": serve, don't reset. */
    while (!all->paused && !all->full && accept_some(a, BATCH)) {
    }
    a->open = false;
    uv_close((uv_handle_t *)&a->poll, NULL);
    cw_private_close(a->info->fd);
  }
}

void cw_accept_close(cw_server_t *srv) {
  CW_ASSERT_BATON(srv);
  cw_acceptors_t *all = &srv->acceptors;
  all->want_spare = 0;
  while (take_spare(srv)) {
  }
  for (int i = 0; i < all->n; i++)
    if (all->items[i].open) uv_close((uv_handle_t *)&all->items[i].poll, NULL);
  uv_close((uv_handle_t *)&all->retry, NULL);
}
