import { render } from 'preact';
import { App } from './app.tsx';
import { signInByLink } from './session.ts';
import './style.css';

signInByLink();
render(<App />, document.body);
