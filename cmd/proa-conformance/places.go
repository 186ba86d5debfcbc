package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
)

// repository is the address under which the client knows metadata/ and targets/,
// which a suite may keep apart. It is never asked.
const repository = "http://repository.invalid/"

// places sends requests for the repository to where its two halves are.
type places struct {
	metadata, targets *url.URL // targets is nil when there is none
	settings          settings
	next              http.RoundTripper
}

func (s settings) http() (*http.Client, error) {
	metadata, err := parseURL("--metadata-url", s.metadataURL)
	if err != nil {
		return nil, err
	}
	p := &places{metadata: metadata, settings: s, next: http.DefaultTransport}
	if s.targetsBaseURL != "" {
		if p.targets, err = parseURL("--target-base-url", s.targetsBaseURL); err != nil {
			return nil, err
		}
	}
	return &http.Client{Transport: p}, nil
}

func parseURL(flag, text string) (*url.URL, error) {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		return nil, fmt.Errorf("%s %.200q: want http:// or https://, a host and a path", flag, text)
	}
	return parsed, nil
}

// RoundTrip implements http.RoundTripper.
func (p *places) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Host != "repository.invalid" { // after a redirect
		return p.next.RoundTrip(request)
	}
	half, rest, _ := strings.Cut(strings.TrimPrefix(request.URL.Path, "/"), "/")
	base := p.metadata
	if half == "targets" {
		if content, ok := p.kept(rest); ok {
			return answer(request, content), nil
		}
		base = p.targets
	}
	if base == nil {
		return nil, errors.New("no --target-base-url")
	}
	sent := request.Clone(request.Context())
	sent.URL, sent.Host = base.JoinPath(strings.Split(rest, "/")...), ""
	return p.next.RoundTrip(sent)
}

// kept is the content of a target that has been downloaded before, if it is the one
// that is asked for as "<folder>/<sha256>.<name>".
func (p *places) kept(file string) ([]byte, bool) {
	folder, name := path.Split(file)
	digest, name, _ := strings.Cut(name, ".")
	content, err := os.ReadFile(p.settings.targetFile(folder + name))
	return content, err == nil && fmt.Sprintf("%x", sha256.Sum256(content)) == digest
}

func answer(request *http.Request, content []byte) *http.Response {
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, ContentLength: int64(len(content)), Body: io.NopCloser(bytes.NewReader(content)), Request: request,
	}
}
