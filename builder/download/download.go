// Package download is how a build reads repositories and packages: from its
// cache, from folders, and over HTTP. What comes over HTTP is kept in the cache
// where its checksum is known before. It is the only packages.Fetcher outside
// of tests.
package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/regular"
)

// Config is how a Fetcher works. The zero value downloads.
type Config struct {
	// Offline forbids the network.
	Offline bool
	// Mirrors are where files are fetched instead: prefixes of URLs, by the
	// prefix that they stand for. The longest that fits is taken.
	Mirrors map[string]string
	// Progress is told of every download. Optional.
	Progress progress.Reporter
	// UserAgent names the program. Optional.
	UserAgent string
	// Patience is how much servers may try it. Optional; they may ask for up to a
	// minute when Longest is 0.
	Patience fetch.Patience
}

// Fetcher implements packages.Fetcher. It may be used by many goroutines at
// once; to one host, it downloads at most 8 files at a time.
type Fetcher struct {
	cache  *cache.Cache
	config Config
	web    *fetch.Web
}

var _ packages.Fetcher = (*Fetcher)(nil)

// New makes a Fetcher that keeps what it downloads in c.
func New(c *cache.Cache, config Config) *Fetcher {
	if config.Progress == nil {
		config.Progress = progress.Silent()
	}
	patience := config.Patience
	if patience.Longest == 0 {
		patience.Longest = time.Minute
	}
	web := fetch.NewWeb(fetch.Config{UserAgent: config.UserAgent, Patience: patience, Connections: 8})
	return &Fetcher{cache: c, config: config, web: web}
}

// Close closes the connections that are kept.
func (f *Fetcher) Close() { f.web.Close() }

// Get implements packages.Fetcher. What it returns is not kept.
func (f *Fetcher) Get(ctx context.Context, url string, most int64) ([]byte, error) {
	url = f.mirror(url)
	if !remote(url) {
		return regular.Read(localPath(url), most)
	}
	if f.config.Offline {
		return nil, offline(url)
	}
	return f.web.Get(ctx, url, most)
}

// File implements packages.Fetcher.
func (f *Fetcher) File(ctx context.Context, url string, size int64, want packages.Checksum) (string, manifests.Digest, error) {
	mirror := f.mirror(url)
	if !remote(mirror) {
		// Once it is in the cache, its checksum cannot change under the build.
		return f.cache.FillBy(ctx, want, size, func(ctx context.Context, partial string) error {
			return copyFile(ctx, localPath(mirror), partial, size)
		})
	}
	at, d, err := f.cache.FillBy(ctx, want, size, func(ctx context.Context, partial string) error {
		if f.config.Offline {
			return offline(url)
		}
		if size == 0 {
			return os.WriteFile(partial, nil, 0o644)
		}
		step := f.config.Progress.Step("fetch "+path.Base(url), size)
		err := f.web.File(ctx, mirror, fetch.Wanted{Size: size, Checksum: string(want)}, partial, step)
		step.Done(err)
		return err
	})
	if errors.Is(err, cache.ErrContent) {
		err = fmt.Errorf("%s: %w", url, err)
	}
	return at, d, err
}

func offline(url string) error { return fmt.Errorf("%w: %s", cache.ErrOffline, url) }

// mirror is where the file at url is fetched.
func (f *Fetcher) mirror(url string) string {
	longest := ""
	for prefix := range f.config.Mirrors {
		if len(prefix) > len(longest) && within(url, prefix) {
			longest = prefix
		}
	}
	if longest == "" {
		return url
	}
	return strings.TrimSuffix(f.config.Mirrors[longest], "/") + "/" + strings.TrimPrefix(url[len(longest):], "/")
}

// within reports whether url is below prefix: http://a/debian-security is not
// below http://a/debian.
func within(url, prefix string) bool {
	rest, ok := strings.CutPrefix(url, prefix)
	return ok && (rest == "" || strings.HasSuffix(prefix, "/") || rest[0] == '/')
}

func remote(url string) bool {
	return strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://")
}

func localPath(url string) string { return filepath.FromSlash(strings.TrimPrefix(url, "file://")) }

func copyFile(ctx context.Context, from, to string, size int64) error {
	in, info, err := regular.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if info.Size() != size {
		return fmt.Errorf("%s: want %d bytes", from, size)
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { in.Close() })
	defer stop()
	_, err = io.CopyN(out, in, size)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		os.Remove(to)
	}
	return err
}
