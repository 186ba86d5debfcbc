package ignition

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// decodeDataURL is the content of a URL of RFC 2397: "data:[TYPE][;base64],DATA".
func decodeDataURL(text string) ([]byte, error) {
	scheme, rest, found := strings.Cut(text, ":")
	if !found || !strings.EqualFold(scheme, "data") {
		switch scheme = strings.ToLower(scheme); scheme {
		case "http", "https", "tftp", "s3", "arn", "gs", "oci":
			return nil, fmt.Errorf("%s: there is no network yet when a machine is configured: want the content itself as a data: URL (butane: inline or local)", scheme)
		}
		return nil, fmt.Errorf("%.40q: want a data: URL", text)
	}
	head, data, found := strings.Cut(rest, ",")
	if !found {
		return nil, errors.New("data: URL without a comma")
	}
	content, err := url.PathUnescape(data)
	if err != nil {
		return nil, fmt.Errorf("data: URL: %w", err)
	}
	parameters := strings.Split(head, ";")
	if last := parameters[len(parameters)-1]; len(parameters) > 1 && last == "base64" {
		raw, err := base64.StdEncoding.DecodeString(content)
		if err != nil {
			return nil, fmt.Errorf("data: URL: %w", err)
		}
		return raw, nil
	}
	return []byte(content), nil
}
