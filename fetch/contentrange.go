package fetch

import (
	"fmt"
	"strconv"
	"strings"
)

// parseContentRange reads "bytes first-last/total" (RFC 9110, section 14.4);
// a total of "*" is -1.
func parseContentRange(header string) (first, last, total int64, err error) {
	bad := fmt.Errorf("content range %.80q: want bytes first-last/total", header)
	rest, ok := strings.CutPrefix(header, "bytes ")
	span, length, ok2 := strings.Cut(rest, "/")
	a, b, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, 0, bad
	}
	total = -1
	for _, field := range []struct {
		text string
		into *int64
	}{{a, &first}, {b, &last}, {length, &total}} {
		if field.into == &total && field.text == "*" {
			continue
		}
		n, err := strconv.ParseUint(field.text, 10, 63)
		if err != nil {
			return 0, 0, 0, bad
		}
		*field.into = int64(n)
	}
	if last < first || total != -1 && last >= total {
		return 0, 0, 0, bad
	}
	return first, last, total, nil
}
