package registry

import (
	"net/http"
	"strings"
)

// challenge is how a server wants to know who asks (RFC 9110, section 11.6.1).
type challenge struct {
	scheme string // in lower case
	params map[string]string
}

// parseChallenges reads all challenges of a response, as far as they can be read.
func parseChallenges(header http.Header) []challenge {
	var found []challenge
	for _, text := range header.Values("WWW-Authenticate") {
		found = append(found, parseChallenge(text)...)
	}
	return found
}

// parseChallenge reads "Scheme key=value, key="value", Scheme …".
func parseChallenge(text string) []challenge {
	var found []challenge
	for {
		text = strings.TrimLeft(text, " \t,")
		word := token(text)
		if word == "" {
			return found
		}
		text = text[len(word):]
		rest := strings.TrimLeft(text, " \t")
		value, isParam := strings.CutPrefix(rest, "=")
		if !isParam || len(found) == 0 {
			found = append(found, challenge{strings.ToLower(word), map[string]string{}})
			continue
		}
		value = strings.TrimLeft(value, " \t")
		var parsed string
		if strings.HasPrefix(value, `"`) {
			parsed, text = quoted(value[1:])
		} else {
			parsed = token(value)
			text = value[len(parsed):]
		}
		found[len(found)-1].params[strings.ToLower(word)] = parsed
	}
}

// token is the longest one that text begins with.
func token(text string) string {
	for i := range len(text) {
		c := text[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return text[:i]
		}
	}
	return text
}

// quoted is the string up to the closing quote, and what is behind that.
func quoted(text string) (value, rest string) {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return out.String(), text[i+1:]
		case c == '\\' && i+1 < len(text):
			i++
			out.WriteByte(text[i])
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), ""
}
