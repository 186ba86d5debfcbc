package hostconfig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/proa-os/proa/hostconfig/doors"
	"github.com/proa-os/proa/manifests"
)

// fetchedPath is where a configuration is kept that came over the network.
const fetchedPath = workFolder + "/fetched"

// URL is where a machine is to fetch its configuration.
type URL struct {
	address *url.URL
	sha256  string // hex digits; empty: whatever comes
}

// ParseURL reads what the kernel's command line says; see manifests.ParseConfigURL.
func ParseURL(address, sha256 string) (*URL, error) {
	u, err := manifests.ParseConfigURL(address, sha256)
	if err != nil {
		return nil, err
	}
	return &URL{u, sha256}, nil
}

func (u *URL) door() string { return "URL " + u.address.Redacted() }

func (u *URL) check(data []byte) error {
	if u.sha256 == "" {
		return nil
	}
	if got := digest(data); got != "sha256:"+u.sha256 {
		return fmt.Errorf("%s has %s: proa.config.sha256= says %s", u.address.Redacted(), got, u.sha256)
	}
	return nil
}

const (
	fetchTime     = 2 * time.Minute
	mostRedirects = 5
)

// Fetch brings the configuration, checks all of it against the root that runs,
// and keeps it there for the next boot, which applies it.
func (u *URL) Fetch(ctx context.Context, root *os.Root, now time.Time) error {
	data, err := u.get(ctx)
	if err != nil {
		return err
	}
	before, err := ReadRecord(root)
	if err != nil {
		return err
	}
	if _, err := prepareFound(root, &doors.Found{Door: u.door(), Data: data}, before, now); err != nil {
		return err
	}
	if err := root.MkdirAll(workFolder, 0o755); err != nil {
		return err
	}
	return writeDurably(root, fetchedPath, data)
}

func (u *URL) get(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTime, fmt.Errorf("no whole answer in %s", fetchTime))
	defer cancel()
	client := http.Client{CheckRedirect: func(request *http.Request, via []*http.Request) error {
		switch {
		case len(via) > mostRedirects:
			return fmt.Errorf("over %d redirects", mostRedirects)
		case request.URL.Scheme != "https" && via[0].URL.Scheme == "https":
			return errors.New("a redirect from https to " + request.URL.Scheme)
		}
		return nil
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.address.String(), nil)
	if err != nil {
		return nil, err
	}
	wrap := func(err error) error {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err // its text has the URL with the password
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("fetching %s: %w", u.address.Redacted(), err)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, wrap(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, wrap(fmt.Errorf("status %s: want 200", response.Status))
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, MostSize+1))
	switch {
	case err != nil:
		return nil, wrap(err)
	case len(data) > MostSize:
		return nil, wrap(fmt.Errorf("it is over %d bytes long", MostSize))
	}
	return data, u.check(data)
}
