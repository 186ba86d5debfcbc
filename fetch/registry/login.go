package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/proa-os/proa/fetch"
)

// ErrUnauthorized is wrapped by the error of a registry that does not let the
// host in. Many registries answer so, too, when a repository is not there.
var ErrUnauthorized = errors.New("the registry refuses access")

const tokenMost = 64 << 10 // bytes

// login adds what a registry wants to know of who asks, to requests to the
// registry itself and to no other host.
type login struct {
	next http.RoundTripper
	ref  Reference
	file string // of credentials

	mu      sync.Mutex
	current string // the Authorization header, once it is known
}

// RoundTrip implements http.RoundTripper.
func (l *login) RoundTrip(request *http.Request) (*http.Response, error) {
	at := request.URL
	if err := checkScheme(at); err != nil {
		return nil, err
	}
	if at.Host != l.ref.webHost() || at.Scheme != l.ref.webScheme() {
		return l.next.RoundTrip(request)
	}
	l.mu.Lock()
	given := l.current
	l.mu.Unlock()
	response, err := l.send(request, given)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	response.Body.Close()
	given, err = l.answer(request.Context(), given, parseChallenges(response.Header))
	if err != nil {
		return nil, err
	}
	return l.send(request, given)
}

func checkScheme(u *url.URL) error {
	if u.Scheme == "https" || u.Scheme == "http" && OnThisMachine(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("%s://%s: want https, except for registries on this machine", u.Scheme, u.Host)
}

func (l *login) send(request *http.Request, authorization string) (*http.Response, error) {
	if authorization != "" {
		request = request.Clone(request.Context())
		request.Header.Set("Authorization", authorization)
	}
	return l.next.RoundTrip(request)
}

// answer finds the header that the challenges ask for. Refused is the one that
// did not do.
func (l *login) answer(ctx context.Context, refused string, challenges []challenge) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != refused {
		return l.current, nil // somebody else asked meanwhile
	}
	known, err := readCredential(l.file, l.ref)
	if err != nil {
		return "", err
	}
	for _, c := range challenges {
		switch {
		case c.scheme == "bearer":
			token, err := l.token(ctx, c, known)
			if err != nil {
				return "", err
			}
			l.current = "Bearer " + token
			return l.current, nil
		case c.scheme == "basic" && known != nil:
			l.current = known.basic()
			return l.current, nil
		}
	}
	return "", fmt.Errorf("%s: %w: it wants credentials, and there are none for it", l.ref.Host, ErrUnauthorized)
}

func (c credential) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.user+":"+c.password))
}

// token asks whom the registry names for a token that lets the host pull
// (https://distribution.github.io/distribution/spec/auth/token/).
func (l *login) token(ctx context.Context, c challenge, known *credential) (string, error) {
	realm, err := url.Parse(c.params["realm"])
	if err != nil || realm.Host == "" || realm.User != nil {
		return "", fmt.Errorf("%s names %.200q to ask for a token: want a URL", l.ref.Host, c.params["realm"])
	}
	if err := errors.Join(checkScheme(realm), mayLead(l.ref.url("", ""), realm)); err != nil {
		return "", fmt.Errorf("asking for a token: %w", err)
	}
	query := realm.Query()
	query.Set("scope", "repository:"+l.ref.Name+":pull")
	if service := c.params["service"]; service != "" {
		query.Set("service", service)
	}
	realm.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, realm.String(), nil)
	if err != nil {
		return "", err
	}
	if known != nil {
		request.Header.Set("Authorization", known.basic())
	}
	// No redirect is followed: the credentials are for this host.
	response, err := l.next.RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("asking %s for a token: %w", realm.Host, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("asking %s for a token: %w", realm.Host, refusal(response))
	}
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, tokenMost+1))
	if err == nil && len(text) > tokenMost {
		err = fmt.Errorf("more than %d bytes", tokenMost)
	}
	if err == nil && json.Unmarshal(text, &answer) != nil {
		err = errors.New("want JSON")
	}
	if answer.Token == "" {
		answer.Token = answer.AccessToken
	}
	if err == nil && answer.Token == "" {
		err = errors.New("there is none")
	}
	if err != nil {
		return "", fmt.Errorf("reading the token of %s: %w", realm.Host, err)
	}
	return answer.Token, nil
}

// refusal is the error that an answer stands for.
func refusal(response *http.Response) error {
	err := fetch.Refusal(response)
	if response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden {
		return fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	return err
}
