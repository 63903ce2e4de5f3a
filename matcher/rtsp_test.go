package matcher_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// rtsp is a network camera: a server of RTSP 1.0 (RFC 2326) on a loopback port,
// whose one stream are JPEG pictures in RTP (RFC 2435) within the connection.
// next makes them; nil ends the stream.
func rtsp(t *testing.T, fps int, next func(n int) image.Image) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s := session{t: t, c: c, url: "rtsp://" + l.Addr().String() + "/door", fps: fps, next: next}
			if err := s.serve(); err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "broken pipe") && !strings.Contains(err.Error(), "reset") {
				t.Errorf("rtsp: %v", err)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return "rtsp://" + l.Addr().String() + "/door"
}

type session struct {
	t        *testing.T
	c        net.Conn
	url      string
	fps      int
	next     func(n int) image.Image
	sequence uint16
}

// serve answers requests until the stream is asked for, and sends it.
func (s *session) serve() error {
	r := textproto.NewReader(bufio.NewReader(s.c))
	for {
		line, err := r.ReadLine()
		if err != nil {
			return err
		}
		method, _, _ := strings.Cut(line, " ")
		h, err := r.ReadMIMEHeader()
		if err != nil {
			return err
		}
		head, body := "", ""
		switch method {
		case "OPTIONS":
			head = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
		case "DESCRIBE":
			body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=door\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\nc=IN IP4 0.0.0.0\r\na=control:track1\r\n"
			head = fmt.Sprintf("Content-Base: %s/\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n", s.url, len(body))
		case "SETUP":
			if !strings.Contains(h.Get("Transport"), "interleaved") {
				return fmt.Errorf("%s over %s: a socket of its own is not allowed later", method, h.Get("Transport"))
			}
			head = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 7\r\n"
		case "PLAY":
			head = "Session: 7\r\n"
		default:
			return nil
		}
		if _, err := fmt.Fprintf(s.c, "RTSP/1.0 200 OK\r\nCSeq: %s\r\n%s\r\n%s", h.Get("Cseq"), head, body); err != nil {
			return err
		}
		if method == "PLAY" {
			return s.play()
		}
	}
}

func (s *session) play() error {
	tick := time.NewTicker(time.Second / time.Duration(s.fps))
	defer tick.Stop()
	for n := 0; ; n++ {
		img := s.next(n)
		if img == nil {
			return nil
		}
		if err := s.send(asJPEG(s.t, img, 80), img.Bounds().Dx(), img.Bounds().Dy(), uint32(n*90000/s.fps)); err != nil {
			return err
		}
		<-tick.C
	}
}

// send cuts a JPEG into RTP packets: its tables and its scan, without the
// headers, which the receiver knows how to make.
func (s *session) send(b []byte, w, h int, timestamp uint32) error {
	dqt, sos := bytes.Index(b, []byte{0xFF, 0xDB}), bytes.Index(b, []byte{0xFF, 0xDA})
	tables := append(bytes.Clone(b[dqt+5:dqt+5+64]), b[dqt+5+65:dqt+5+65+64]...) // two, each behind its number
	scan := b[sos+2+int(binary.BigEndian.Uint16(b[sos+2:])) : len(b)-2]
	for at := 0; at < len(scan); {
		n := min(1300, len(scan)-at)
		head := []byte{0, byte(at >> 16), byte(at >> 8), byte(at), 1, 255, byte(w / 8), byte(h / 8)} // 4:2:0, tables of its own
		if at == 0 {
			head = append(append(head, 0, 0, 0, 128), tables...)
		}
		last := byte(0)
		if at+n == len(scan) {
			last = 0x80
		}
		p := []byte{0x80, last | 26}
		p = binary.BigEndian.AppendUint16(p, s.sequence)
		p = binary.BigEndian.AppendUint32(p, timestamp)
		p = binary.BigEndian.AppendUint32(p, 0xD00D)
		p = append(append(p, head...), scan[at:at+n]...)
		frame := binary.BigEndian.AppendUint16([]byte{'$', 0}, uint16(len(p)))
		if _, err := s.c.Write(append(frame, p...)); err != nil {
			return err
		}
		s.sequence++
		at += n
	}
	return nil
}

// A network camera by RTSP, opened by the real worker and read after it has
// confined itself: the pictures are the newest ones, and its end is told.
func TestRTSP(t *testing.T) {
	program, _, _ := visiond(t)
	const most = 40
	url := rtsp(t, 25, func(n int) image.Image {
		if n == most {
			return nil
		}
		img := page(320, 240)
		for i := range 320 * 24 { // a bar that tells the picture's number
			img.SetRGBA(i%320, i/320, color.RGBA{byte(6 * n), byte(6 * n), byte(6 * n), 255})
		}
		return img
	})
	began := time.Now()
	x, err := program.Capture(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	t.Logf("opened in %v", time.Since(began))
	last, n := -1, 0
	for {
		f, err := x.Next()
		if err != nil {
			if !strings.Contains(err.Error(), "the stream ended") {
				t.Errorf("after %d pictures: %v", n, err)
			}
			break
		}
		if f.Width != 320 || f.Height != 240 {
			t.Fatalf("%d × %d", f.Width, f.Height)
		}
		shown := (int(f.Pixels[3*(12*320+160)]) + 3) / 6
		if shown <= last || shown >= most {
			t.Errorf("picture %d after %d", shown, last)
		}
		last = shown
		n++
	}
	if n < 5 || last < most-5 {
		t.Errorf("%d pictures, the last is number %d of %d", n, last, most)
	}
}
