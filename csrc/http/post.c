/* SPDX-License-Identifier: MIT */
/* Messages from running threads to the loop. */
#include "http/post.h"

static void on_wake(uv_async_t *wake) {
  /* Its work is to end the wait. */
}

int cw_posts_init(cw_posts_t *posts, uv_loop_t *loop) {
  int rc = uv_async_init(loop, &posts->wake, on_wake);
  if (rc != 0) return rc;
  pthread_mutex_init(&posts->lock, NULL);
  cw_list_init(&posts->list);
  return 0;
}

void cw_posts_close(cw_posts_t *posts) {
  uv_close((uv_handle_t *)&posts->wake, NULL);
}

void cw_posts_fini(cw_posts_t *posts) {
  pthread_mutex_destroy(&posts->lock);
}

void cw_post(cw_posts_t *posts, cw_post_t *post, int what, bool urgent) {
  pthread_mutex_lock(&posts->lock);
  post->what |= what;
  if (!post->posted) {
    post->posted = true;
    cw_list_push(&posts->list, &post->node);
    atomic_store(&posts->any, true);
  }
  /* Read before the lock is given up: afterwards the request may be the loop's. The
   * loop sets these, and `waiting`, before it looks at `any`: one of both is seen. */
  urgent |= atomic_load(&post->attention) || atomic_load(&posts->eager);
  pthread_mutex_unlock(&posts->lock);
  if (urgent && atomic_load(&posts->waiting)) uv_async_send(&posts->wake);
}

cw_post_t *cw_posts_take(cw_posts_t *posts, int *what) {
  cw_post_t *post = NULL;
  if (!atomic_load(&posts->any)) return NULL;
  pthread_mutex_lock(&posts->lock);
  if (!cw_list_empty(&posts->list)) {
    post = CW_CONTAINER(posts->list.next, cw_post_t, node);
    cw_list_remove(&post->node);
    if (cw_list_empty(&posts->list)) atomic_store(&posts->any, false);
    *what = post->what;
    post->what = 0;
    post->posted = false;
  }
  pthread_mutex_unlock(&posts->lock);
  return post;
}

bool cw_post_waits(cw_posts_t *posts, cw_post_t *post) {
  pthread_mutex_lock(&posts->lock);
  bool waits = post->posted;
  pthread_mutex_unlock(&posts->lock);
  return waits;
}

void cw_posts_wake(cw_posts_t *posts) {
  uv_async_send(&posts->wake);
}

void cw_posts_nudge(cw_posts_t *posts) {
  if (atomic_load(&posts->any) && atomic_load(&posts->waiting))
    uv_async_send(&posts->wake);
}
