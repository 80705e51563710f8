#include <stdlib.h>

struct node {
    int value;
    struct node *next;
};

struct node *push(struct node *head, int value) {
    struct node *node = malloc(sizeof *node);
    if (node == NULL) {
        return NULL;
    }
    node->value = value;
    node->next = head;
    <HOLE: return node;>
}

int length(const struct node *head) {
    int count = 0;
    for (; head != NULL; head = head->next) {
        count++;
    }
    <HOLE: return count;>
}
