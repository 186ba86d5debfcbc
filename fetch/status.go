package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// permanentError is one that another attempt would only repeat.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

func permanent(err error) error { return permanentError{err} }

// checkStatus is nil for an answer with an accepted status.
func checkStatus(response *http.Response, accepted ...int) error {
	for _, code := range accepted {
		if response.StatusCode == code {
			if encoding := response.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") && !named(response, encoding) {
				return permanent(fmt.Errorf("server sent content encoding %.40q that was not asked for", encoding))
			}
			return nil
		}
	}
	return Refusal(response)
}

// Refusal is the error that an answer stands for which is not what was asked
// for. Retry knows which of them another attempt would only repeat.
func Refusal(response *http.Response) error {
	err := statusError{response.StatusCode, retryAfter(response)}
	// 4xx will not change by asking again, 5xx may.
	switch response.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return err
	}
	if response.StatusCode >= 500 {
		return err
	}
	return permanent(err)
}

// named reports whether the encoding is what Apache's AddEncoding says of a
// file that is compressed itself.
func named(response *http.Response, encoding string) bool {
	encoding = strings.TrimPrefix(strings.ToLower(encoding), "x-")
	return encoding == "gzip" && strings.HasSuffix(response.Request.URL.Path, ".gz")
}

// statusError is an answer that is not the file.
type statusError struct {
	code  int
	after time.Duration // which the server asks to wait; 0 if it does not
}

func (e statusError) Error() string {
	return fmt.Sprintf("server answered %d %s", e.code, http.StatusText(e.code))
}

// Is implements errors.Is.
func (e statusError) Is(target error) bool {
	return target == fs.ErrNotExist && (e.code == http.StatusNotFound || e.code == http.StatusGone)
}

// RetryAfter is how long the server asks to wait before the next attempt, when
// err is an answer that says so; 0 otherwise.
func RetryAfter(err error) time.Duration {
	var answer statusError
	if errors.As(err, &answer) {
		return answer.after
	}
	return 0
}

// retryAfter is what RFC 9110, section 10.2.3, allows: seconds or a date.
func retryAfter(response *http.Response) time.Duration {
	value := response.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(date))
	}
	return 0
}
