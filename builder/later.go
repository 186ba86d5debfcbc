package builder

import "context"

// later is a result that is worked out in the background.
type later[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// begin begins to work out a result. Build does not return before run has.
func begin[T any](b *build, run func() (T, error)) *later[T] {
	l := &later[T]{done: make(chan struct{})}
	b.background.Go(func() {
		defer close(l.done)
		l.value, l.err = run()
	})
	return l
}

// wait returns the result when it is there.
func (l *later[T]) wait(ctx context.Context) (T, error) {
	select {
	case <-l.done:
		return l.value, l.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
