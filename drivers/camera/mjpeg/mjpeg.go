// Package mjpeg reads a camera that sends JPEG pictures over HTTP, one part of
// a multipart/x-mixed-replace message after the other. It is what network
// cameras call MJPEG.
package mjpeg

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxPicture is the size of one picture in bytes: 4K at a high quality has
// three million.
const MaxPicture = 8 << 20

// Limits of what stands around the pictures.
const (
	maxLine  = 4 << 10
	maxLines = 32 // of a part's header
)

// ErrStream says that what comes is not a stream of pictures.
var ErrStream = errors.New("mjpeg: not a stream of pictures")

// Stream is an opened camera.
type Stream struct {
	r        *bufio.Reader
	body     io.Closer
	boundary []byte // with its leading dashes
}

// Dial opens the camera at url. ctx bounds the connection and all reading; the
// answer's header is waited for at most 5 s. Redirections are not followed: a
// lane's camera is where its configuration says.
func Dial(ctx context.Context, url string) (*Stream, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("mjpeg: %w", err)
	}
	client := http.Client{
		Transport:     &http.Transport{ResponseHeaderTimeout: 5 * time.Second, TLSHandshakeTimeout: 5 * time.Second, MaxResponseHeaderBytes: 16 << 10, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("mjpeg: %w", err)
	}
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || err != nil || !strings.HasPrefix(kind, "multipart/") {
		return nil, errors.Join(fmt.Errorf("%w: status %d, type %.80q", ErrStream, resp.StatusCode, kind), resp.Body.Close())
	}
	return New(resp.Body, params["boundary"]), nil
}

// New reads pictures from body. Cameras differ in whether the boundary that
// they announce has the dashes that their parts begin with.
func New(body io.ReadCloser, boundary string) *Stream {
	return &Stream{r: bufio.NewReaderSize(body, 64<<10), body: body, boundary: []byte("--" + strings.TrimLeft(boundary, "-"))}
}

// Close ends the connection; a Next that blocks returns.
func (s *Stream) Close() error {
	if err := s.body.Close(); err != nil {
		return fmt.Errorf("mjpeg: %w", err)
	}
	return nil
}

// Next returns the next picture's bytes and when the first of them came. The
// bytes are not looked at.
func (s *Stream) Next() ([]byte, time.Time, error) {
	size, err := s.head()
	if err != nil {
		return nil, time.Time{}, err
	}
	if _, err := s.r.Peek(1); err != nil {
		return nil, time.Time{}, fmt.Errorf("mjpeg: %w", err)
	}
	began := time.Now()
	if size < 0 {
		b, err := s.unmeasured()
		return b, began, err
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(s.r, b); err != nil {
		return nil, began, fmt.Errorf("mjpeg: %w", err)
	}
	return b, began, nil
}

// head skips to the next boundary and reads the part's header: the size that it
// states, or -1.
func (s *Stream) head() (int, error) {
	for junk := 0; ; {
		line, err := s.line()
		if err != nil {
			return 0, err
		}
		if bytes.HasPrefix(line, s.boundary) {
			break
		}
		if junk += len(line) + 1; junk > maxLine {
			return 0, fmt.Errorf("%w: no boundary", ErrStream)
		}
	}
	size := -1
	for range maxLines {
		line, err := s.line()
		if err != nil {
			return 0, err
		}
		if len(line) == 0 {
			return size, nil
		}
		name, value, _ := strings.Cut(string(line), ":")
		if !strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
			continue
		}
		if size, err = strconv.Atoi(strings.TrimSpace(value)); err != nil || size < 0 || size > MaxPicture {
			return 0, fmt.Errorf("%w: a picture of %.20q bytes", ErrStream, value)
		}
	}
	return 0, fmt.Errorf("%w: an endless header", ErrStream)
}

// line reads a line without its end.
func (s *Stream) line() ([]byte, error) {
	line, err := s.r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) || len(line) > maxLine {
			return nil, fmt.Errorf("%w: no end of line", ErrStream)
		}
		return nil, fmt.Errorf("mjpeg: %w", err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// unmeasured reads a picture whose size nobody said: to the next boundary,
// which stays to be read.
func (s *Stream) unmeasured() ([]byte, error) {
	var b []byte
	for len(b) <= MaxPicture {
		chunk, err := s.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("mjpeg: %w", err)
		}
		b = append(b, chunk...)
		// The boundary stands at the start of a line; its line is peeked at, so
		// that head finds it.
		if next, err := s.r.Peek(len(s.boundary)); err == nil && bytes.Equal(next, s.boundary) && bytes.HasSuffix(b, []byte("\n")) {
			return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r")), nil
		}
	}
	return nil, fmt.Errorf("%w: a picture without an end", ErrStream)
}
