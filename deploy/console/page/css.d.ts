/** Style sheets are imported for esbuild alone, which puts them into one file. */
declare module '*.css';
