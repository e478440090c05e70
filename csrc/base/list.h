/* SPDX-License-Identifier: MIT */
/* Intrusive doubly linked list: the head is a node that links to itself. Not
 * thread-safe; the owner of the head says who may touch it. */
#ifndef CW_BASE_LIST_H
#define CW_BASE_LIST_H

#include <stdbool.h>

typedef struct cw_list {
  struct cw_list *prev, *next;
} cw_list_t;

static inline void cw_list_init(cw_list_t *head) {
  head->prev = head;
  head->next = head;
}

static inline bool cw_list_empty(const cw_list_t *head) {
  return head->next == head;
}

static inline void cw_list_push(cw_list_t *head, cw_list_t *node) {
  node->prev = head->prev;
  node->next = head;
  head->prev->next = node;
  head->prev = node;
}

/* Unlinks `node` and leaves it linked to itself, so that a second removal is
 * harmless. */
static inline void cw_list_remove(cw_list_t *node) {
  node->prev->next = node->next;
  node->next->prev = node->prev;
  cw_list_init(node);
}

/* Moves all nodes of `from` to the end of `to`. */
static inline void cw_list_move(cw_list_t *to, cw_list_t *from) {
  if (cw_list_empty(from)) return;
  from->next->prev = to->prev;
  to->prev->next = from->next;
  from->prev->next = to;
  to->prev = from->prev;
  cw_list_init(from);
}

#endif
