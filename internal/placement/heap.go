package placement

// heap is a binary heap of which only the first item ever changes. Package container/heap calls an interface for each step.
type heap[T any] struct {
	items []T
	less  func(a, b T) bool
}

func makeHeap[T any](items []T, less func(a, b T) bool) heap[T] {
	h := heap[T]{items, less}
	for i := len(items)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	return h
}

// fix brings the first item to where it belongs.
func (h *heap[T]) fix() { h.down(0) }

// pop takes the first item away.
func (h *heap[T]) pop() {
	var none T
	last := len(h.items) - 1
	h.items[0] = h.items[last]
	h.items[last] = none
	h.items = h.items[:last]
	h.down(0)
}

func (h *heap[T]) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h.items) {
			return
		}
		if right := child + 1; right < len(h.items) && h.less(h.items[right], h.items[child]) {
			child = right
		}
		if !h.less(h.items[child], h.items[i]) {
			return
		}
		h.items[i], h.items[child] = h.items[child], h.items[i]
		i = child
	}
}
