package cache

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// keys lets one goroutine at a time hold a key. The zero value is ready.
type keys struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the key is given back
}

func (k *keys) hold(ctx context.Context, key string) (release func(), err error) {
	for {
		k.mu.Lock()
		if k.held == nil {
			k.held = map[string]chan struct{}{}
		}
		other, busy := k.held[key]
		if !busy {
			mine := make(chan struct{})
			k.held[key] = mine
			k.mu.Unlock()
			return func() {
				k.mu.Lock()
				delete(k.held, key)
				k.mu.Unlock()
				close(mine)
			}, nil
		}
		k.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-other:
		}
	}
}

// lockFile makes and locks the file at path. Who holds the lock may remove the
// file before giving the lock back: whoever waited for it then finds that the
// name does not lead to what it has locked, and tries anew.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		err = waitFlock(ctx, file, nil)
		if err == nil {
			var same bool
			if same, err = leadsTo(path, file); same {
				return file, nil
			}
		}
		file.Close()
		if err != nil {
			return nil, err
		}
	}
}

func leadsTo(path string, file *os.File) (bool, error) {
	named, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	mine, err := file.Stat()
	return err == nil && os.SameFile(named, mine), err
}

// waitFlock locks file for its holder alone. It calls waiting, once, when that
// cannot be at once. It asks again and again, since flock(2) itself does not
// end with a context.
func waitFlock(ctx context.Context, file *os.File, waiting func()) error {
	pause := 5 * time.Millisecond
	for {
		err := flock(file, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		timer := time.NewTimer(pause)
		pause = min(2*pause, 200*time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

func flock(file *os.File, how int) error {
	for {
		err := unix.Flock(int(file.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
