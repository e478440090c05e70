/* SPDX-License-Identifier: MIT */
/* Linked lists. */
#include "unit/unit.h"

#include "base/list.h"

static void list_is_first_in_first_out(void **state) {
  cw_list_t head, a, b;
  cw_list_init(&head);
  assert_true(cw_list_empty(&head));
  cw_list_push(&head, &a);
  cw_list_push(&head, &b);
  assert_ptr_equal(head.next, &a);
  cw_list_remove(&a);
  cw_list_remove(&a); /* twice is harmless */
  assert_ptr_equal(head.next, &b);
  cw_list_remove(&b);
  assert_true(cw_list_empty(&head));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(list_is_first_in_first_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
